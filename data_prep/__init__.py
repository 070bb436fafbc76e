"""Exports of hospitals and public data sets to de-identified shards.

    sources ─► reports, linking ─► Export ─► build ─┬ pictures ┬─► samples, ledger ─► shards ─► checks, inspect
                                                    └ privacy ─┘
    processes carries all of it; ledger, inputs and loose are what the rooms say to each other; synthetic makes a hospital up

A room knows only those before it:
    ledger, inputs, loose < files < processes < pictures, privacy < reports < linking < sources < build < checks < inspect
"""
