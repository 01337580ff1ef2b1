"""documents.py - OpenAPI documents to load a gateway with.

What the rows call are two documents of their own: one before the backend that
answers with so many bytes, one before the backend that reads uploads. The
others only stand beside them: each has a context and a backend address of its
own, as 1,000 teams would have, so that routing, pools and metrics carry their
weight. None of these backends runs.
"""

import os
import sys

MEASURED = "/bench/v1"
UPLOAD = "/upload/v1"

HEAD = """\
openapi: 3.0.3
info:
  title: {title}
  version: v1
servers:
  - url: {server}
x-wso2-basePath: {context}
paths:
"""

# One path with what a small API's path has: parameters, a body, replies.
LIST = """\
  /{noun}:
    get:
      operationId: list{noun}
      summary: List {noun}, newest first
      parameters:
        - name: limit
          in: query
          schema: {{ type: integer, minimum: 1, maximum: 100 }}
      responses:
        '200':
          description: A page of them
          content:
            application/json:
              schema:
                type: array
                items: {{ $ref: '#/components/schemas/Item' }}
    post:
      operationId: add{noun}
      requestBody:
        content:
          application/json:
            schema: {{ $ref: '#/components/schemas/Item' }}
      responses:
        '201': {{ description: Made }}
"""

ONE = """\
  /{noun}/{{id}}:
    parameters:
      - name: id
        in: path
        required: true
        schema: {{ type: string }}
    get:
      operationId: get{noun}
      responses:
        '200': {{ description: It }}
    put:
      operationId: put{noun}
      responses:
        '200': {{ description: Changed }}
    delete:
      operationId: delete{noun}
      responses:
        '204': {{ description: Gone }}
"""

TAIL = """\
components:
  schemas:
    Item:
      type: object
      required: [id, name]
      properties:
        id: { type: string }
        name: { type: string, maxLength: 200 }
        price: { type: number, minimum: 0 }
"""

OPERATIONS_PER_NOUN = 5  # what LIST and ONE make together

BENCH = """\
  /bytes/{size}:
    parameters:
      - name: size
        in: path
        required: true
        schema: { type: integer }
    get:
      operationId: getBytes
      responses:
        '200': { description: So many bytes }
    post:
      operationId: postBytes
      requestBody:
        content:
          application/octet-stream: {}
      responses:
        '200': { description: Read to the end }
"""


# For other people's load: everything below the context.
ANYTHING = """\
  /*:
    get:
      responses:
        '200': { description: What the backend says }
    post:
      responses:
        '200': { description: What the backend says }
"""


def called(context, server, paths=BENCH):
    """A document that is called."""
    title = context.split("/")[1]
    return HEAD.format(title=title, server=server, context=context) + paths


def other(number, nouns):
    text = [
        HEAD.format(
            title="API %d" % number,
            server="http://127.0.%d.%d:9/" % (number >> 8 & 255, number & 255),
            context="/api%05d/v1" % number,
        )
    ]
    for noun in range(nouns):
        name = "items" if noun == 0 else "items%d" % noun
        text.append(LIST.format(noun=name))
        text.append(ONE.format(noun=name))
    text.append(TAIL)
    return "".join(text)


def folder(path, backend, uploads, others, nouns=1, scheme="http", more=""):
    """Fill a new folder: what the rows call, and so many others beside it.
    more: keys of the document before the backend of bytes."""
    os.mkdir(path)
    for context, where in ((MEASURED, backend), (UPLOAD, uploads)):
        server = "%s://%s%s" % (scheme, where, context)
        text = called(context, server)
        if context == MEASURED:
            text += more
        write(path, context.split("/")[1] + ".yaml", text)
    write_others(path, others, nouns)
    return path


def write_others(path, others, nouns):
    for number in range(1, others + 1):
        write(path, "api%05d.yaml" % number, other(number, nouns))


def write(path, name, text):
    with open(os.path.join(path, name), "w") as f:
        f.write(text)


def main():
    """A folder for a gateway that somebody else's script measures."""
    if len(sys.argv) not in (3, 4, 5):
        sys.exit("usage: documents.py FOLDER BACKEND-URL [OTHERS [PATHS]]")
    path, url = sys.argv[1:3]
    others = int(sys.argv[3]) if len(sys.argv) > 3 else 1000
    nouns = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    os.mkdir(path)
    write(path, "bench.yaml", called(MEASURED, url, ANYTHING))
    write_others(path, others, nouns)


if __name__ == "__main__":
    main()
