"""The web application: what `ragmeter serve` serves. See docs/tenants.md.

It is FastAPI from top to bottom, and nothing else of ragmeter imports it: third-party packages are imported at the top
here, and only here.
"""

from ragmeter.api.app import create_app

__all__ = ["create_app"]
