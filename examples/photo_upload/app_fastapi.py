"""The web application, with FastAPI: it stores the upload, adds a job, and answers at once.

uvicorn examples.photo_upload.app_fastapi:app
"""

from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile

from examples.photo_upload import images, storage
from holdfast import Backoff, JobFailed, MisuseError, Refused, Unreachable
from holdfast.aio import Queue

app = FastAPI()
photos = Queue("image-processing", timeout=5)


async def photo_of(request: Request) -> bytes:
    """The JPEG: field `photo` of a form, or the body itself."""
    length = request.headers.get("content-length")
    if length is None:
        raise HTTPException(411, "say how long the upload is (Content-Length)")
    if int(length) > images.UPLOAD_BYTES_MAX:
        raise HTTPException(413, f"the upload is over {images.UPLOAD_BYTES_MAX:,} bytes")
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return await request.body()
    async with request.form() as form:
        photo = form.get("photo")
        return await photo.read() if isinstance(photo, UploadFile) else b""


@app.post("/upload", status_code=202)
async def upload(user_id: int, photo: Annotated[bytes, Depends(photo_of)]) -> dict[str, str]:
    images.check(photo)
    file_key = await run_in_threadpool(storage.put_upload, photo)
    job = await photos.add(
        "process-image",
        {"user_id": user_id, "file_key": file_key},
        id=f"photo-{file_key}",
        attempts=5,
        backoff=Backoff.exponential(0.5, cap=60, jitter="full"),
    )
    return {"job_id": job.id}


@app.get("/jobs/{job_id}")
async def job_state(job_id: str) -> dict[str, Any]:
    try:
        job = await photos.get(job_id)
    except (Refused, MisuseError) as error:
        raise HTTPException(404, str(error)) from None
    return {"state": job.state, "progress": job.progress, "result": job.result}


@app.websocket("/jobs/{job_id}")
async def job_end(socket: WebSocket, job_id: str) -> None:
    """Pushes once, when the job has ended."""
    await socket.accept()
    try:
        job = await photos.get(job_id)
        await socket.send_json({"state": "completed", "result": await job.wait(timeout=600)})
    except JobFailed as error:
        await socket.send_json({"state": error.job.state, "error": str(error)})
    except (Refused, MisuseError, TimeoutError) as error:
        await socket.send_json({"state": "unknown", "error": str(error)})
    await socket.close()


@app.exception_handler(images.NotAPhoto)
async def not_a_photo(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 415)


@app.exception_handler(Unreachable)
async def unreachable(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "uploads are down for a moment, try again"}, 503)
