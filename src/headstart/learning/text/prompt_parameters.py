"""Typed parameters of how a labeled text is written for a causal language model.

Free of torch, so that Kedro can check parameters before anything heavy is imported.
"""

from collections.abc import Sequence

from pydantic import Field, field_validator

from headstart.errors import HeadstartError
from headstart.learning.configuration import Parameters


class PromptParameters(Parameters):
    """A text as a question, and its class as the answer.

    Attributes:
        template: of a text and its label, with {text} in it and {label} at its end. A space
            before {label} belongs to the label's first token, as language models have learned it.
        instruction: goes before everything else; may be empty.
        separator: between the instruction, the demonstrations and the query.
        verbalizers: what the model reads and scores for a class, by the class's name; empty: the
            names themselves, underscores as spaces.
        most_tokens: of a text that are kept, at most.
    """

    template: str = "Text: {text}\nTopic: {label}"
    instruction: str = ""
    separator: str = "\n\n"
    verbalizers: dict[str, str] = Field(default_factory=dict)
    most_tokens: int = Field(default=128, ge=1)

    @field_validator("template")
    @classmethod
    def _names_text_and_label(cls, template: str) -> str:
        if "{text}" not in template:
            raise ValueError("must hold {text}, which is where the text goes")
        if not template.endswith("{label}") or template.count("{label}") > 1:
            raise ValueError("must end with {label}, and hold it only there")
        # Else an empty text would leave no token after which the label could be predicted.
        if not template.replace("{text}", "").removesuffix("{label}").strip(" "):
            raise ValueError("must hold more than {text}, {label} and spaces")
        return template

    @property
    def question(self) -> str:
        """The template up to the label, without the spaces that are the label's."""
        return self.template.removesuffix("{label}").rstrip(" ")

    def words(self, class_names: Sequence[str]) -> list[str]:
        """The verbalizer of each class, as it follows on `question`.

        Raises:
            HeadstartError: a class has no verbalizer, or two classes have the same one.
        """
        if missing := [name for name in class_names if name not in (self.verbalizers or [name])]:
            raise HeadstartError(
                f"No verbalizer for the class '{missing[0]}'. Add it to verbalizers, or empty "
                "verbalizers so that all classes go by their names."
            )
        plain = [self.verbalizers.get(name, name.replace("_", " ")) for name in class_names]
        words = [word.strip(" ") for word in plain]
        for name, word in zip(class_names, words, strict=True):
            if not word or words.count(word) > 1:
                raise HeadstartError(
                    f"The class '{name}' has the verbalizer '{word}', which must not be empty nor "
                    "another class's too. Give it another one in verbalizers."
                )
        space = " " if self.template.removesuffix("{label}").endswith(" ") else ""
        return [space + word for word in words]
