"""Many ask, one thread reads: the same predictions as alone, and a clear no where there is no room or time."""

import asyncio

import pytest
from served import Held, classifier_of, cpu

from ulmfit.config import ServeConfig
from ulmfit.deploy import service as module
from ulmfit.deploy.messages import Question, Refused
from ulmfit.deploy.service import Service
from ulmfit.insight.explain import Explanation, explain
from ulmfit.outputs import BoundedNumber
from ulmfit.text.document import Document
from ulmfit.text.tokenizer import Tokenizer

pytest.importorskip("prometheus_client")

WHY = Question("a superb film", None, "occlusion")


def test_all_get_what_they_would_get_alone(tokenizer: Tokenizer, reviews: list[Document]) -> None:
    classifier, texts = classifier_of(tokenizer), [d.text for d in reviews]

    async def ask(service: Service) -> list:
        alone = (service.predict([text]) for text in texts)
        return await asyncio.gather(*alone, service.predict(texts), service.explain(WHY))

    with Service(classifier, cpu(), ServeConfig(max_batch=7)) as service:
        *alone, together, why = asyncio.run(ask(service))
    wanted = classifier.predict(texts, cpu())
    for found in ([one for (one,) in alone], together):
        assert [p.label for p in found] == [p.label for p in wanted]
        assert [p.probability for p in found] == pytest.approx([p.probability for p in wanted])
    alone_too = explain(classifier, WHY.text, runtime=cpu())
    assert [w.weight for w in why.words] == pytest.approx([w.weight for w in alone_too.words])
    assert (why.text, why.label, why.method) == (WHY.text, alone_too.label, "occlusion")


def test_explanations_keep_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held()
    monkeypatch.setattr(module, "members_of", lambda *_: ())
    why = Explanation(WHY.text, "odd", 1.0, "occlusion", ())
    monkeypatch.setattr(module, "explain", lambda *_, **__: why if held.go.wait(60) else None)

    async def ask(service: Service) -> None:
        held.go.clear()
        explaining = asyncio.create_task(service.explain(WHY))
        await asyncio.sleep(0)
        service.classifier = prompt  # as the held one would block as well
        assert (await service.predict(["odd"]))[0].label == "odd" and not explaining.done()
        held.go.set()
        assert await explaining is why

    prompt = Held()
    with Service(held, cpu()) as service:
        asyncio.run(ask(service))


def test_no_room_and_no_time() -> None:
    held = Held()

    async def ask(service: Service) -> None:
        held.hold()
        first = asyncio.create_task(service.predict(["a"]))
        while not held.began.is_set():
            await asyncio.sleep(0.001)
        second = asyncio.create_task(service.predict(["b", "c"]))
        await asyncio.sleep(0)
        with pytest.raises(Refused) as full:
            await service.predict(["d"])
        assert full.value.status == 503 and full.value.headers == {"Retry-After": "1"}
        for late in (first, second):
            with pytest.raises(Refused) as refused:
                await late
            assert refused.value.status == 504 and "within 0.2 s" in refused.value.message
        held.go.set()
        assert (await service.predict(["odd"]))[0].label == "odd"

    with Service(held, cpu(), ServeConfig(max_queue=2, max_batch=2, timeout_s=0.2)) as service:
        asyncio.run(ask(service))
        assert service.healthy
    assert not service.healthy
    assert b"ulmfit_batch_texts_count 2.0" in service.metrics.text()  # b and c were never read


def test_what_can_not_be_explained_is_refused(tokenizer: Tokenizer) -> None:
    numbers = classifier_of(tokenizer, BoundedNumber(0.0, 5.0))
    for classifier, reason in ((numbers, "a number per text"), (Held(), "name the run")):
        with (
            Service(classifier, cpu()) as service,
            pytest.raises(Refused, match=reason) as refused,
        ):
            asyncio.run(service.explain(WHY))
        assert refused.value.status == 422
