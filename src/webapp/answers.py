"""What the JSON interface answers, and what its description says of it."""

from fastapi import Response
from pydantic import BaseModel, Field


class Probability(BaseModel):
    """A class, and how probable the model holds it."""

    name: str = Field(alias="class")
    probability: float = Field(ge=0, le=1)


class Prediction(BaseModel):
    """What is in the picture: classes, the likeliest first."""

    model: str
    classes: list[Probability]
    known: bool | None = Field(description="whether the picture is like those the model was trained on; null: unknown")
    novelty: float | None = Field(description="how unlike them it is; above 1 it is not known")
    sure: bool | None = Field(description="whether of such answers at most 5% are wrong")
    possible: list[str] | None = Field(description="classes that hold the true one in 90% of pictures")
    seconds: float = Field(description="of reading and computing, without waiting")


class Explanation(Prediction):
    """Why: a layer to lay over the picture."""

    method: str
    title: str = Field(description="the method's, for people")
    explained: str = Field(description="the class that the map is about")
    versus: str | None = Field(description="the class that it is set against")
    signed: bool = Field(description="whether the map also shows evidence against the class (blue)")
    class_specific: bool = Field(description="whether the map depends on the class")
    largest: float = Field(description="raw value of the last colour; 0: no evidence")
    target_layer: str
    passes: str = Field(description="runs of the network")
    picture: str = Field(description="the picture as it was read, upright and reduced: JPEG in base64")
    layer: str = Field(description="the map's colours with transparency, of the same size: PNG in base64")


class Health(BaseModel):
    """Whether the service answers."""

    status: str
    models: list[str]
    waiting: int = Field(description="pictures that are being worked on or wait")


class WrongAnswer(BaseModel):
    """A test picture that a model got wrong."""

    true: str
    predicted: str
    confidence: float
    file: str


class Problem(BaseModel):
    """What is wrong, in one sentence that says what to do."""

    error: str


PICTURE = {
    "requestBody": {
        "required": True,
        "description": "The picture's bytes as they are (JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF).",
        "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
    }
}
REFUSED = {
    400: {"model": Problem, "description": "No picture, or an unknown model, method or class"},
    403: {"model": Problem, "description": "Asked by another site's page"},
    500: {"model": Problem, "description": "An error of ours"},
    503: {"model": Problem, "description": "Too many wait; come again"},
}
PROBLEMS = REFUSED | {413: {"model": Problem, "description": "Too large"}}
FILE = {200: {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}, "description": "The file"}}
LEFT = Response(status_code=499)  # nobody reads it
