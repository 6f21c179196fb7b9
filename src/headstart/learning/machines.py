"""Several machines that share out trainings: one runs the pipeline and calls the others together.

The machine of `kedro run` keeps a small store of keys at host:port for as long as it runs. For each
training it writes a call there, with a port of its own for that training; the other machines wait
for calls, and take part in each, until the store is gone.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from headstart.errors import HeadstartError
from headstart.learning.configuration import ComputeParameters

_CALL = "call"
_LOOK_SECONDS = 0.5  # between two looks for a call
_stores: dict[str, Any] = {}  # host:port -> the store that this process keeps there


@dataclass(frozen=True)
class Meeting:
    """One training that machines share out.

    Attributes:
        number: of the call, from 1.
        node: number of this machine; 0 is that of `kedro run`.
        port: of the host, for this training alone.
        description: of the training.
        compute: parameters of the machine that called.
    """

    number: int
    node: int
    port: int
    description: str
    compute: ComputeParameters

    @classmethod
    def call(cls, compute: ComputeParameters, description: str) -> Meeting:
        """Call the other machines together.

        Args:
            compute: number of machines, and where they meet.
            description: of the training.

        Raises:
            HeadstartError: the port is taken.
        """
        assert compute.rendezvous is not None
        store = _keep_store(compute.rendezvous)
        with socket.socket() as free:
            free.bind(("", 0))
            port = free.getsockname()[1]
        meeting = cls(store.add("calls", 1), 0, port, description, compute)
        told = {"number": meeting.number, "port": port, "description": description}
        store.set(_CALL, json.dumps({**told, "compute": compute.model_dump()}))
        return meeting

    def over(self) -> None:
        """Take the call back, so that nobody comes too late."""
        _stores[str(self.compute.rendezvous)].set(_CALL, "{}")

    def launch_options(self) -> dict[str, Any]:
        """What torch's launcher has to know."""
        host = str(self.compute.rendezvous).split(":")[0]
        return {
            "rdzv_backend": "static",
            "rdzv_endpoint": f"{host}:{self.port}",
            "rdzv_configs": {"rank": self.node, "timeout": self.compute.rendezvous_seconds},
            "run_id": str(self.number),
        }

    def nobody_came(self) -> HeadstartError:
        """The error where machines waited for each other in vain."""
        others = self.compute.nodes - 1
        return HeadstartError(
            f"{self.description}: {others} other machine{'s' * (others > 1)} did not come to "
            f"{self.compute.rendezvous} within {self.compute.rendezvous_seconds} s. Start `kedro "
            f"join {self.compute.rendezvous} --node N` on each, N from 1; or raise "
            "compute.rendezvous_seconds."
        )


def calls(rendezvous: str, node: int, seconds: int) -> Iterator[Meeting]:
    """The trainings that another machine calls for, until its run ends.

    Args:
        rendezvous: host:port of that machine.
        node: number of this one, from 1.
        seconds: to wait for the run to start.

    Raises:
        HeadstartError: it does not start.
    """
    from torch.distributed import DistError, TCPStore

    host, port = rendezvous.split(":")
    try:
        store = TCPStore(
            host,
            int(port),
            is_master=False,
            timeout=timedelta(seconds=seconds),
            wait_for_workers=False,
        )
    except DistError as error:
        raise HeadstartError(
            f"No run has started at {rendezvous} within {seconds} s. Start `kedro run --params "
            f"compute.nodes=...,compute.rendezvous={rendezvous}` there."
        ) from error
    last = 0
    while True:
        try:
            told = json.loads(store.get(_CALL)) if store.check([_CALL]) else {}
        except DistError:
            return
        if told.get("number", last) > last:
            last = told["number"]
            told["compute"] = ComputeParameters(**told["compute"])
            yield Meeting(node=node, **told)
        time.sleep(_LOOK_SECONDS)


def _keep_store(rendezvous: str) -> Any:
    """The store at host:port, opened at the first call and there until this process ends."""
    from torch.distributed import DistError, TCPStore

    if rendezvous not in _stores:
        host, port = rendezvous.split(":")
        try:
            _stores[rendezvous] = TCPStore(host, int(port), is_master=True, wait_for_workers=False)
        except DistError as error:
            raise HeadstartError(
                f"compute.rendezvous: {rendezvous} cannot be opened ({error}). The host has to be "
                "a name of this machine, and the port free."
            ) from error
    return _stores[rendezvous]
