"""The review page: a retoucher clears the doubtful photos of a batch in the browser; extra `web`."""
