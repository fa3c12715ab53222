"""What a worker does beside sending: each on a thread of its own, so that nothing waits for it."""

import threading
from collections.abc import Callable

from service.wiring import Service


class Beside:
    """One such work. It is begun where it is not under way; what goes wrong with it is logged, and it is begun again."""

    def __init__(self, service: Service, name: str, work: Callable[[], object]):
        self._service, self._name, self._work = service, name, work
        self._thread: threading.Thread | None = None

    @property
    def under_way(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def begin(self) -> None:
        if not self.under_way:
            self._thread = threading.Thread(target=self._run, name=self._name.replace("_", " "), daemon=True)
            self._thread.start()

    def end(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 (the database is away, or the work makes no sense of something: it goes on where it stood the next time)
            self._service.log.error(f"{self._name}_failed", error=type(error).__name__)
