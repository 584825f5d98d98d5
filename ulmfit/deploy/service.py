"""`Service`: a classifier for concurrent requests. Of HTTP it knows only the status of a refusal."""

import asyncio
from concurrent.futures import Future
from typing import Any, TypeVar

from ulmfit.classifier import Classifier
from ulmfit.config import ServeConfig
from ulmfit.deploy.batching import Batcher, Full
from ulmfit.deploy.messages import Question, Refused
from ulmfit.deploy.metrics import Metrics
from ulmfit.ensemble import members_of
from ulmfit.insight.explain import Explanation, explain
from ulmfit.runtime import Runtime

EXPLANATIONS = 16  # explanations that may wait; each costs as much as dozens of predictions
RETRY_AFTER = 1  # seconds, sent with 503

Result = TypeVar("Result")


class Service:
    """Reads the texts of all callers in batches, in one thread; explanations run in another, so that predictions do not wait for
    them. The end of a `with` block waits until all that was accepted is answered."""

    def __init__(
        self,
        classifier: Classifier,
        runtime: Runtime,
        limits: ServeConfig = ServeConfig(),
        name: str = "",
    ) -> None:
        self.classifier, self.runtime, self.limits, self.name = classifier, runtime, limits, name
        classifier.predict("Are you there?", runtime)  # does now what the first prediction would
        wait = limits.max_wait_ms / 1000
        self._predicting = Batcher(
            self._predict, max_batch=limits.max_batch, max_wait_s=wait, max_waiting=limits.max_queue
        )
        self._explaining = Batcher(
            self._explain, max_batch=1, max_wait_s=0, max_waiting=EXPLANATIONS
        )
        queues = {"predict": self._predicting, "explain": self._explaining}
        self.metrics = Metrics({name: queue.__len__ for name, queue in queues.items()})

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: object) -> None:
        self._predicting.close()
        self._explaining.close()

    @property
    def healthy(self) -> bool:
        """Whether both threads are running."""
        return self._predicting.alive and self._explaining.alive

    async def predict(self, texts: list[str]) -> list[Any]:
        """A prediction for each text, in order. `Refused`: 503, 504."""
        return await self._results(self._predicting, texts)

    async def explain(self, question: Question) -> Explanation:
        """The explanation of a text. `Refused`: 422 if classifier or text allow none; 503, 504."""
        try:
            members_of(self.classifier, "weighing words")
            return (await self._results(self._explaining, [question]))[0]
        except ValueError as error:
            raise Refused(422, str(error)) from None

    async def _results(self, queue: Batcher[Any, Result], items: list[Any]) -> list[Result]:
        try:
            futures: list[Future[Result]] = queue.submit(items)
        except Full:
            raise Refused(
                503, "too many requests are waiting; try again soon", Retry_After=str(RETRY_AFTER)
            ) from None
        try:
            async with asyncio.timeout(self.limits.timeout_s):
                return await asyncio.gather(*map(asyncio.wrap_future, futures))
        except TimeoutError:  # items that have not begun are cancelled by it
            seconds = f"{self.limits.timeout_s:g} s"
            raise Refused(504, f"no answer within {seconds}; send fewer or shorter texts") from None

    def _predict(self, texts: list[str]) -> list[Any]:
        self.metrics.read(len(texts))
        return self.classifier.predict(texts, self.runtime)

    def _explain(self, questions: list[Question]) -> list[Explanation]:
        return [
            explain(self.classifier, q.text, label=q.label, method=q.method, runtime=self.runtime)
            for q in questions
        ]
