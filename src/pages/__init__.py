"""Web pages: what the report and the app share."""
