"""The same web application with Flask.

flask --app examples.photo_upload.app_flask run
"""

from typing import Any

from flask import Flask, abort, request

from examples.photo_upload import storage
from holdfast import Backoff, Queue, Refused

app = Flask(__name__)
photos = Queue("image-processing")


@app.post("/upload")
def upload() -> tuple[dict[str, str], int]:
    image = request.get_data()
    problem = storage.why_no_jpeg(image)
    if problem:
        abort(415, problem)
    file_key = storage.put_upload(image)
    job = photos.add(
        "process-image",
        {"user_id": int(request.args["user_id"]), "file_key": file_key},
        id=f"photo-{file_key}",
        attempts=5,
        backoff=Backoff.exponential(0.5, cap=10, jitter="full"),
    )
    return {"job_id": job.id}, 202


@app.get("/jobs/<job_id>")
def job_state(job_id: str) -> dict[str, Any]:
    try:
        job = photos.get(job_id)
    except Refused as error:
        abort(404, error.message)
    return {"state": job.state, "progress": job.progress, "result": job.result}
