"""Hospital exports in, de-identified WebDataset shards out."""
