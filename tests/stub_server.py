"""An OpenAI-compatible server in a thread, with a made-up model, that can be told to misbehave."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

import tiny

LABELS = ("1", "2", "3", "4", "5")
KEY = "sk-secret-0123456789"
RARE = "Rarely fives"
"""A text with these words puts the label '5' behind the likeliest tokens."""


class Stub:
    """What the server knows and does. Tests set the fields; `fault` says what goes wrong with which request."""

    def __init__(self):
        self.words = tiny.tokenizer()
        self.label_ids = [self.words(label)["input_ids"][0] for label in LABELS]
        self.models = ["served"]
        self.max_model_len = None
        self.key = ""
        self.tokenizes = True
        self.joins_space = False  # a space and a newline are one token at a text's end, as GPT-2 has it
        self.ids = "taken"  # what becomes of logprob_token_ids: 'taken', 'ignored', 'refused'
        self.most = 20  # of `logprobs`
        self.form = "openai"
        self.reply = lambda text: "3"
        self.completes = True  # whether it has /v1/completions besides /v1/chat/completions
        self.fault = lambda text, nth: None
        self.slow = 0.0
        self.over = threading.Event()  # the test's end, until which a request may hang
        self.asked = []
        self.times = []
        self.told_keys = set()
        self.connections = 0
        self.under_way = self.most_under_way = 0
        self.nth = Counter()
        self.lock = threading.Lock()

    def logprob(self, prompt):
        """(V,) natural-log probabilities of the next token after a text or token ids."""
        ids = self.words(prompt)["input_ids"] if isinstance(prompt, str) else prompt
        seed = hashlib.sha256(json.dumps(ids).encode()).digest()
        logits = np.random.default_rng(int.from_bytes(seed[:8], "little")).normal(size=len(self.words))
        logits[self.label_ids] += 6
        if RARE in self.words.decode(ids):
            logits[self.label_ids[4]] -= 30
        return logits - np.log(np.exp(logits).sum())

    def expected(self, prompt, samples):
        """(B, R) what an engine must find."""
        texts = [prompt.render(sample.instruction, sample.response) for sample in samples]
        return np.array([self.logprob(text)[self.label_ids] for text in texts], np.float32)

    def complete(self, body):
        """Status and JSON answer to a request."""
        if body["model"] not in self.models:
            return 404, {"error": {"message": f"The model `{body['model']}` does not exist."}}
        if "logprob_token_ids" in body and self.ids == "refused":
            return 400, {"error": {"message": "Unrecognized request argument supplied: logprob_token_ids"}}
        if body["logprobs"] > self.most:
            return 400, {"error": {"message": f"logprobs is at most {self.most}"}}
        logprob = self.logprob(body["prompt"])
        best = np.argsort(-logprob)[: body["logprobs"]].tolist()
        if "logprob_token_ids" in body and self.ids == "taken":
            best = list(dict.fromkeys([best[0], *body["logprob_token_ids"]]))
        return 200, self.answer(body, best, logprob)

    def chat(self, body):
        """Status and JSON answer to a chat request: `reply` of what the user says."""
        if body["model"] not in self.models:
            return 404, {"error": {"message": f"The model `{body['model']}` does not exist."}}
        message = {"role": "assistant", "content": self.reply(self.text(body))}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return 200, {"choices": [choice], "usage": {"prompt_tokens": len(self.text(body).split())}}

    def answer(self, body, best, logprob):
        named = body.get("return_tokens_as_token_ids") and self.ids == "taken"
        texts = {id: f"token_id:{id}" if named else self.words.decode([id]) for id in best}
        if self.form == "llama.cpp":
            listed = [{"id": id, "token": texts[id], "logprob": logprob[id]} for id in best]
            logprobs = {"content": [{**listed[0], "top_logprobs": listed}]}
        else:
            logprobs = {"tokens": [texts[best[0]]], "top_logprobs": [{texts[id]: logprob[id] for id in best}]}
        prompt = body["prompt"]
        count = len(self.words(prompt)["input_ids"] if isinstance(prompt, str) else prompt)
        return {"choices": [{"index": 0, "text": "x", "logprobs": logprobs}], "usage": {"prompt_tokens": count}}

    def text(self, body):
        if "messages" in body:
            return body["messages"][-1]["content"]
        return body["prompt"] if isinstance(body["prompt"], str) else self.words.decode(body["prompt"])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stub: Stub

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stub.connections += 1

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path != "/v1/models":
            self.send(404, {"detail": "Not Found"})
            return
        entry = {"max_model_len": self.stub.max_model_len} if self.stub.max_model_len else {}
        self.send(200, {"data": [{"id": name, **entry} for name in self.stub.models]})

    def do_POST(self):
        stub = self.stub
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        sent = self.headers.get("Authorization", "").removeprefix("Bearer ")
        stub.told_keys.add(sent)
        if stub.key and sent != stub.key:
            self.send(401, {"error": {"message": f"Incorrect API key provided: {sent}"}})
        elif self.path == "/tokenize" and stub.tokenizes:
            tokens = stub.words(body["prompt"], add_special_tokens=body["add_special_tokens"])["input_ids"]
            if stub.joins_space and body["prompt"].endswith(" \n"):
                tokens[-1:] = [9999]
            self.send(200, {"tokens": tokens})
        elif self.path != "/v1/chat/completions" and (self.path != "/v1/completions" or not stub.completes):
            self.send(404, {"detail": "Not Found"})
        else:
            with stub.lock:
                stub.under_way += 1
                stub.most_under_way = max(stub.most_under_way, stub.under_way)
            self.complete(body)
            with stub.lock:
                stub.under_way -= 1

    def complete(self, body):
        stub = self.stub
        text = stub.text(body)
        with stub.lock:
            nth = stub.nth[text]
            stub.nth[text] += 1
            stub.asked.append(body)
            stub.times.append(time.monotonic())
        time.sleep(stub.slow)
        status, answer = (stub.chat if "messages" in body else stub.complete)(body)
        fault = stub.fault(text, nth)
        if fault is None:
            self.send(status, answer)
        elif fault == "hang":
            stub.over.wait()
            self.close_connection = True
        elif fault == "drip":  # a byte now and then, each within any time-out of a single read
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.close_connection = True
            while not stub.over.wait(0.05):
                try:
                    self.wfile.write(b" ")
                except OSError:  # the other side has had enough
                    return
        elif fault == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b'{"choices": [')
            self.close_connection = True
        elif callable(fault):
            self.send(200, fault(answer))
        else:
            self.send(*fault)

    def send(self, status, answer, headers=()):
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {**dict(headers), "Content-Length": len(data)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serving():
    """A running stub; its address is `url`."""
    stub = Stub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"stub": stub}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield stub
    finally:
        stub.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
