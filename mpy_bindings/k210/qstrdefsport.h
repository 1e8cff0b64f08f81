// Names that only this port uses are found in its sources.
