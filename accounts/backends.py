"""Who may sign in, and stay signed in."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend

from accounts.models import User


class ActiveUsersBackend(ModelBackend):
    """Django's users and permissions, for users whose status is active.

    Django asks at each sign-in and, for sessions that are open already, at each request.
    """

    def user_can_authenticate(self, user: Any) -> bool:
        """Whether `user` is neither suspended nor deleted, nor switched off by `is_active`."""
        return super().user_can_authenticate(user) and user.status == User.Status.ACTIVE
