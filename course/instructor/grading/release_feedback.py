"""Feedback goes back through nbgrader's exchange, whatever some submissions lack."""

from glob import glob
from pathlib import Path

from nbgrader.exchange.default import ExchangeReleaseFeedback

LEFT_OUT = (
    "Not released: the feedback of %s. It lacks the time stamp or the secret by which a student's"
    " list finds it, for the submission did not come through the exchange or its student took them"
    " away. Give them the page yourself: %s"
)


class ReleaseFeedback(ExchangeReleaseFeedback):
    """nbgrader's release of feedback, which would stop at the first page that it cannot release."""

    def copy_files(self) -> None:
        """Release page by page; log which could not be.

        Raises:
            ExchangeError: there are pages, and not one could be released.
        """
        folders = sorted(glob(self.src_path))
        left_out = [folder for folder in folders if not self._released(folder)]
        if folders and left_out == folders:
            self.fail("No feedback was released. The log says why.")

    def _released(self, folder: str) -> bool:
        """Release the pages of one submission; return whether it could be done."""
        self.src_path = folder
        try:
            super().copy_files()
        except (OSError, ValueError):
            self.log.warning(LEFT_OUT, Path(folder).parent.name, folder)
            return False
        return True
