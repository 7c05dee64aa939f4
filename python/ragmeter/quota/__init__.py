"""Quotas: what somebody may spend; reserved before a call, settled after it. See docs/quotas.md."""

from ragmeter.meter import QuotaError
from ragmeter.quota.quota import Quota
from ragmeter.quota.reservation import Reservation
from ragmeter.quota.standing import QuotaExceeded, QuotaUnavailable

__all__ = ["Quota", "QuotaError", "QuotaExceeded", "QuotaUnavailable", "Reservation"]
