"""The run folder: its record, its report and its model card."""
