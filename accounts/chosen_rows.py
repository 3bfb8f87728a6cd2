"""Actions of the admin on rows that were chosen by their keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import ValidationError
from django.db import models
from django.http import HttpRequest, HttpResponse

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin


class CheckedKeysAdmin(ModelAdmin):
    """Pages whose actions take keys that a row can have; Django fails at others."""

    def response_action(
        self, request: HttpRequest, queryset: models.QuerySet[Any], *args: Any, **kwargs: Any
    ) -> HttpResponse | None:
        """What the action answers, or the list again with a word about what was chosen."""
        try:
            for key in request.POST.getlist(ACTION_CHECKBOX_NAME):
                self.opts.pk.clean(key, None)
        except ValidationError:
            self.message_user(request, "What was chosen is no row of this list.", messages.ERROR)
            return None
        return super().response_action(request, queryset, *args, **kwargs)
