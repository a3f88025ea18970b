"""Judgements as data sets for others: rows in TRL's and this site's formats, as JSONL or Parquet, with a card."""
