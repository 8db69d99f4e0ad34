"""The same web application with Flask.

flask --app examples.photo_upload.app_flask run
"""

from typing import Any

from flask import Flask, abort, request
from werkzeug.exceptions import HTTPException

from examples.photo_upload import images, storage
from holdfast import Backoff, MisuseError, Queue, Refused, Unreachable

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = images.UPLOAD_BYTES_MAX
photos = Queue("image-processing", timeout=5)


@app.post("/upload")
def upload() -> tuple[dict[str, str], int]:
    user_id = request.args.get("user_id", type=int)
    if user_id is None:
        abort(422, "user_id must be a whole number")
    photo = request.files["photo"].read() if "photo" in request.files else request.get_data()
    images.check(photo)
    file_key = storage.put_upload(photo)
    job = photos.add(
        "process-image",
        {"user_id": user_id, "file_key": file_key},
        id=f"photo-{file_key}",
        attempts=5,
        backoff=Backoff.exponential(0.5, cap=60, jitter="full"),
    )
    return {"job_id": job.id}, 202


@app.get("/jobs/<job_id>")
def job_state(job_id: str) -> dict[str, Any]:
    try:
        job = photos.get(job_id)
    except (Refused, MisuseError) as error:
        abort(404, str(error))
    return {"state": job.state, "progress": job.progress, "result": job.result}


@app.errorhandler(images.NotAPhoto)
def not_a_photo(error: images.NotAPhoto) -> tuple[dict[str, str], int]:
    return {"detail": str(error)}, 415


@app.errorhandler(Unreachable)
def unreachable(error: Unreachable) -> tuple[dict[str, str], int]:
    return {"detail": "uploads are down for a moment, try again"}, 503


@app.errorhandler(HTTPException)
def refused(error: HTTPException) -> tuple[dict[str, str], int]:
    return {"detail": error.description or error.name}, error.code or 500
