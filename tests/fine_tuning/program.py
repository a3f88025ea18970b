"""A program with a key that uploads files and orders jobs."""

import json

from django.test import Client

from accounts import keys

BOUNDARY = "a-line-between-parts"


class Api:
    """A program with a key."""

    def __init__(self, owner, **fields):
        self.key, secret = keys.make(owner, "test", **fields)
        self.owner = owner
        self.client = Client(headers={"authorization": f"Bearer {secret}"})

    def get(self, path, **options):
        return self.client.get(f"/v1/{path}", **options)

    def post(self, path, body=None, **options):
        return self.client.post(f"/v1/{path}", json.dumps(body or {}), content_type="application/json", **options)

    def delete(self, path):
        return self.client.delete(f"/v1/{path}")

    def upload(self, content, filename="guide.jsonl", purpose="fine-tune", **fields):
        body = multipart({"purpose": purpose, **fields}, content, filename)
        return self.client.post("/v1/files", body, content_type=f"multipart/form-data; boundary={BOUNDARY}")


def multipart(fields, content, filename):
    """As the clients send it: Django's own test client would cut a path off the file's name."""
    part = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="'.encode()
    texts = b"".join(part + f'{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields.items())
    content = content if isinstance(content, bytes) else content.encode()
    head = f'file"; filename="{filename}"\r\nContent-Type: application/octet-stream\r\n\r\n'.encode()
    return texts + part + head + content + f"\r\n--{BOUNDARY}--\r\n".encode()
