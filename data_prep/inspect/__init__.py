"""A look at shards as one HTML page.

census.py (manifests, indexes: all)  ┐
opened.py (members: a sample)        ├──► findings.py ──► page.py + templates/ ──► one file
builds.py (build.json, ledger: all)  │        ▲
near.py, repeats.py                  ┘     charts.py
"""
