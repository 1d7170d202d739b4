"""What a program does with the official client: `client.py URL WHAT [MODEL]`. Prints JSON."""

import json
import sys

import openai

url, what = sys.argv[1:3]
model = sys.argv[3] if len(sys.argv) > 3 else ""
client = openai.OpenAI(base_url=url + "/v1", api_key="unused", max_retries=0, timeout=180)
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
NO_WAIT = {"x-plimsoll-wait": "0"}


def models():
    return [entry.id for entry in client.models.list()]


def embed():
    texts = ["query: how to bake bread", "passage: Knead the dough, and let it rise.",
             "passage: The treaty was signed in 1648."]
    answer = client.embeddings.create(model=model, input=texts)
    question, near, far = [entry.embedding for entry in answer.data]
    dot = lambda a, b: sum(x * y for x, y in zip(a, b))
    return {"length": len(question), "norm": dot(question, question), "near": dot(question, near),
            "far": dot(question, far)}


def chat():
    answer = client.chat.completions.create(
        model=model, messages=QUESTION, max_tokens=16, temperature=0)
    choice = answer.choices[0]
    return {"text": choice.message.content, "finish": choice.finish_reason,
            "tokens": answer.usage.completion_tokens}


def stream():
    pieces, finish = [], None
    with client.chat.completions.create(model=model, messages=QUESTION, max_tokens=16,
                                        temperature=0, stream=True) as events:
        for event in events:
            if event.choices and event.choices[0].delta.content:
                pieces.append(event.choices[0].delta.content)
            finish = event.choices[0].finish_reason or finish
    return {"text": "".join(pieces), "pieces": len(pieces), "finish": finish}


def at_once():
    """Asks without waiting for a load."""
    try:
        client.chat.completions.create(model=model, messages=QUESTION, extra_headers=NO_WAIT)
    except openai.APIStatusError as error:
        return {"status": error.status_code, "retry_after": error.response.headers["retry-after"],
                "body": error.response.json()}
    return {"status": 200}


def again():
    """The same, but comes back when it is told to, as the client does unless told otherwise."""
    patient = client.with_options(max_retries=60)
    answer = patient.chat.completions.create(
        model=model, messages=QUESTION, max_tokens=4, temperature=0, extra_headers=NO_WAIT)
    return {"text": answer.choices[0].message.content}


def leave():
    """Closes a stream after a few of its events."""
    story = [{"role": "user", "content": "Count from one to one thousand, in words."}]
    events = client.chat.completions.create(model=model, messages=story, max_tokens=1500,
                                            temperature=0, stream=True)
    seen = [next(events).choices[0].delta.content for _ in range(4)]
    events.close()
    return {"seen": seen}


print(json.dumps({f.__name__: f for f in (models, embed, chat, stream, at_once, again, leave)}[what]()))
