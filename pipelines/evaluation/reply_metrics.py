"""Measures of replies: finding the true one among others, and generated ones."""

import dataclasses
import random
from collections.abc import Iterator, Sequence

import numpy as np

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.evaluation import translation

_DRAWS = 1000
"""Draws for one question after which all replies are tried, in random order."""


@dataclasses.dataclass(frozen=True)
class Questions:
    """Questions of which of K replies was given.

    Attributes:
        conversation: Index of the conversation of each question, int64 `[n]`.
        turn: Index of the true reply in its conversation, int64 `[n]`.
        candidates: Indices of the replies among all turns of all conversations, int64 `[n,K]`; the first is the true
            one.
    """

    conversation: np.ndarray
    turn: np.ndarray
    candidates: np.ndarray


def draw_questions(conversations: Sequence[Sequence[str]], most: int, num_candidates: int, seed: int) -> Questions:
    """Draws questions, which depend on the arguments alone.

    Every turn but the first of a conversation is a reply. The wrong replies of a question are replies of any
    conversations whose texts are different from the true one and from each other, whatever their capitals.

    Args:
        conversations: The turns of each conversation.
        most: Most questions; with fewer replies, each of them is one question.
        num_candidates: Replies of a question, K, at least 2.
        seed: Seed of the draws.

    Raises:
        UserError: If there are too few different replies.
    """
    drawn = random.Random(seed)
    places = [(at, turn) for at, turns in enumerate(conversations) for turn in range(1, len(turns))]
    starts = np.cumsum([0, *map(len, conversations)])
    asked = sorted(drawn.sample(range(len(places)), min(most, len(places))))
    found = []
    for question in asked:
        chosen, texts = [question], {_text(conversations, places[question])}
        for other in _drawn(drawn, len(places)):
            if (text := _text(conversations, places[other])) not in texts:
                chosen.append(other)
                texts.add(text)
                if len(chosen) == num_candidates:
                    break
        if len(chosen) < num_candidates:
            raise UserError(
                f"`evaluation.candidates` must be at most the number of different replies in the test split. "
                f"Received: evaluation.candidates={num_candidates}"
            )
        found.append([starts[places[one][0]] + places[one][1] for one in chosen])
    conversation, turn = np.array([places[question] for question in asked], np.int64).T
    return Questions(conversation, turn, np.array(found, np.int64))


def _drawn(drawn: random.Random, number: int) -> Iterator[int]:
    """Yields numbers below `number`, each of them at least once."""
    for _ in range(_DRAWS):
        yield drawn.randrange(number)
    yield from drawn.sample(range(number), number)


def _text(conversations: Sequence[Sequence[str]], place: tuple[int, int]) -> str:
    return conversations[place[0]][place[1]].casefold()


def hits(scores: np.ndarray) -> np.ndarray:
    """Returns, for each question, whether the first score is the largest: float64 `[n]` for scores `[n,K]`.

    Of k equal largest scores, each counts 1 / k, as if one of them were drawn.
    """
    largest = scores == scores.max(axis=1, keepdims=True)
    return largest[:, 0] / largest.sum(axis=1)


def distinct(texts: Sequence[str], length: int) -> float:
    """Returns the number of different n-grams of words divided by the number of all (Li et al. 2016, section 5.3).

    Args:
        texts: The texts, whose words are divided by spaces; capitals do not matter.
        length: Words of an n-gram.
    """
    words = [text.casefold().split() for text in texts]
    ngrams = [tuple(some[at : at + length]) for some in words for at in range(len(some) - length + 1)]
    return len(set(ngrams)) / len(ngrams) if ngrams else 0.0


def figures_of_hits(scores: np.ndarray) -> dict[str, float | int | str]:
    """Returns hits@1, its standard error and the number of questions, from scores `[n,K]`."""
    found = hits(scores)
    return {
        "hits": float(found.mean()),
        "hits_error": float(found.std() / len(found) ** 0.5),
        "questions": len(found),
    }


def figures_of_replies(written: Sequence[str], given: Sequence[str]) -> dict[str, float | int | str]:
    """Returns chrF of generated replies against those that were given, and distinct-1 and distinct-2."""
    found = translation.figures(written, given)
    chrf = {name: found[name] for name in ("chrf", "chrf_signature")}
    return chrf | {f"distinct_{length}": distinct(written, length) for length in (1, 2)}
