"""The web application, with FastAPI: it stores the upload, adds a job, and answers at once.

uvicorn examples.photo_upload.app_fastapi:app
"""

from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Request, WebSocket
from fastapi.params import Query

from examples.photo_upload import storage
from holdfast import Backoff, JobFailed, Refused
from holdfast.aio import Queue

app = FastAPI()
photos = Queue("image-processing")


@app.post("/upload", status_code=202)
async def upload(request: Request, user_id: Annotated[int, Query()]) -> dict[str, str]:
    image = await request.body()
    problem = storage.why_no_jpeg(image)
    if problem:
        raise HTTPException(415, problem)
    file_key = storage.put_upload(image)
    job = await photos.add(
        "process-image",
        {"user_id": user_id, "file_key": file_key},
        id=f"photo-{file_key}",
        attempts=5,
        backoff=Backoff.exponential(0.5, cap=10, jitter="full"),
    )
    return {"job_id": job.id}


@app.get("/jobs/{job_id}")
async def job_state(job_id: str) -> dict[str, Any]:
    try:
        job = await photos.get(job_id)
    except Refused as error:
        raise HTTPException(404, error.message) from None
    return {"state": job.state, "progress": job.progress, "result": job.result}


@app.websocket("/jobs/{job_id}")
async def job_end(socket: WebSocket, job_id: str) -> None:
    """Pushes once, when the job has ended."""
    await socket.accept()
    try:
        job = await photos.get(job_id)
        await socket.send_json({"state": "completed", "result": await job.wait()})
    except JobFailed as error:
        await socket.send_json({"state": error.job.state, "error": str(error)})
    except Refused as error:
        await socket.send_json({"state": "unknown", "error": error.message})
    await socket.close()
