"""The private half of a capture: what accounts do."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from django.core.exceptions import ObjectDoesNotExist

from marketdata.bybit.ws_private import PrivateWebSocketClient
from marketdata.capture import runs
from marketdata.capture.accounts import AccountContext, OpenedSecrets, note_state, read_roster
from marketdata.capture.books import Books
from marketdata.capture.collectors import Collector, PrivateCollector, PrivateWriters
from marketdata.capture.config import CaptureConfig
from marketdata.capture.feeds import Feed
from marketdata.capture.links import Link
from marketdata.capture.parts import Part
from marketdata.capture.private_writers import (
    ExecutionWriter,
    OrderWriter,
    PositionWriter,
    WalletWriter,
)
from marketdata.capture.repairs import Repairs
from marketdata.capture.startup import exact_digits
from marketdata.capture.supervisor import Supervisor
from marketdata.log_events import ACCOUNT_LEFT, ACCOUNT_SERVED, ACCOUNT_SET_ASIDE, log_context

logger = logging.getLogger(__name__)

LEFT = "the account was not captured"


class PrivatePart(Part):
    """Executions, orders, positions and wallet of every account, each on its own connection.

    It looks at the accounts of the database again and again, and so notices those that are
    enabled, disabled or given new keys. One that cannot be served is set aside with a reason
    and costs the others nothing.
    """

    def __init__(self, config: CaptureConfig, books: Books, repairs: Repairs | None) -> None:
        super().__init__(config, books, repairs)
        self._private_writers = PrivateWriters(
            ExecutionWriter(**self._writer_options()),
            OrderWriter(**self._writer_options()),
            PositionWriter(**self._writer_options()),
            WalletWriter(**self._writer_options()),
        )
        self.writers = list(self._private_writers)
        self.names: dict[UUID, str] = {}
        self.set_aside: dict[UUID, str] = {}
        self._digits = exact_digits()
        self._serving: dict[UUID, tuple[AccountContext, Supervisor, PrivateCollector]] = {}
        self._leaving: dict[UUID, Supervisor] = {}
        self._secrets = OpenedSecrets("capture")
        self._noted: dict[UUID, str] = {}
        self._look_at = 0.0

    @property
    def supervisors(self) -> list[Supervisor]:
        """The supervisors of all connections, also of those that are being closed."""
        serving = list(self._serving.values())
        return [supervisor for _, supervisor, _ in serving] + list(self._leaving.values())

    def step(self) -> None:
        """Look at the accounts when it is time, and write down what became of each."""
        if time.monotonic() >= self._look_at:
            self._follow_roster()
            self._look_at = time.monotonic() + self.config.roster_interval
        self._leaving = {key: left for key, left in self._leaving.items() if left.is_alive()}
        self._note_refusals()

    def finish(self) -> None:
        """Close the observing runs."""
        with self.books.fenced():
            for account_id in list(self._serving):
                runs.close_observing_run(account_id)

    def _connections(self) -> list[tuple[Supervisor, Collector]]:
        return [(supervisor, collector) for _, supervisor, collector in self._serving.values()]

    def _follow_roster(self) -> None:
        roster = read_roster(self.config.accounts, secrets=self._secrets)
        wanted = {context.account_id: context for context in roster.contexts}
        for account_id, (context, supervisor, _) in list(self._serving.items()):
            if wanted.get(account_id) != context or not supervisor.is_alive():
                self._leave(account_id)
        self.set_aside = dict(roster.set_aside)
        self.names |= roster.names
        for account_id, context in wanted.items():
            # One that is being closed still brings rows, which must not end the new one's gap.
            if account_id in self._serving or account_id in self._leaving:
                continue
            try:
                self._serve(context)
            except ValueError as error:
                self.set_aside[account_id] = str(error)
            except ObjectDoesNotExist:
                logger.info("account %s was deleted just now", context.name)

    def _serve(self, context: AccountContext) -> None:
        account_id = context.account_id
        collector = PrivateCollector(
            context, self.books, self._private_writers, digits=self._digits
        )
        client = PrivateWebSocketClient(
            context.api_key,
            context.api_secret,
            collector,
            environment=context.environment,
            endpoints=self.config.endpoints,
        )
        with self.books.fenced():
            runs.close_orphans([account_id])
            run = runs.open_observing_run(account_id, context.user_id)
        self._go_on(
            {
                Feed(writer.stream, "", account_id): partial(writer.table.last_ts_of, account_id)
                for writer in self.writers
            }
        )
        with log_context(account=context.name, run=run.pk):
            supervisor = self._supervise(f"account {context.name}", client, collector)
        self._serving[account_id] = (context, supervisor, collector)
        self.collectors.append(collector)
        if self.repairs:
            writers = {writer.stream: writer for writer in self.writers}
            self.repairs.add(
                Link(name=context.name, context=context, supervisor=supervisor, writers=writers)
            )
        supervisor.start()
        text = "account %s: captured from %s"
        of = {"account": context.name, "environment": context.environment, "run": run.pk}
        ACCOUNT_SERVED.log(logger, text, context.name, context.environment, **of)

    def _leave(self, account_id: UUID) -> None:
        context, supervisor, collector = self._serving[account_id]
        # At every moment one of the two knows of it: what neither knows is not captured.
        self._leaving[account_id] = supervisor
        del self._serving[account_id]
        supervisor.request_stop()
        if self.repairs:
            self.repairs.drop(account_id)
        self._noted.pop(account_id, None)
        self.collectors.remove(collector)
        now = datetime.now(UTC)
        # What lived until now lives no longer: another connection will know nothing of between.
        self.books.gaps.open(collector.feeds, LEFT, now)
        self.books.gaps.end(now, collector.feeds)
        self.books.leave(collector.feeds, now)
        with self.books.fenced():
            runs.close_observing_run(account_id)
        text = "account %s: no longer captured as it was"
        ACCOUNT_LEFT.log(logger, text, context.name, account=context.name)

    def _note_refusals(self) -> None:
        states = dict(self.set_aside)
        for account_id, (_, supervisor, _) in self._serving.items():
            if reason := supervisor.refusal or supervisor.partial_refusal:
                states[account_id] = self.set_aside[account_id] = reason
            elif supervisor.error is not None:
                states[account_id] = f"internal error: {type(supervisor.error).__name__}"
            elif supervisor.connected.is_set():
                self.set_aside.pop(account_id, None)
                states[account_id] = ""
        for account_id, reason in states.items():
            if self._noted.get(account_id) != reason:
                with self.books.fenced():
                    note_state(account_id, reason)
                self._noted[account_id] = reason
                if reason:
                    name = self.names.get(account_id, account_id)
                    text = "account %s is set aside: %s"
                    ACCOUNT_SET_ASIDE.log(logger, text, name, reason, account=name, reason=reason)
