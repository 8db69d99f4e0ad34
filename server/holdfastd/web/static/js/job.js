// The page of one job: its log follows its end as long as one does not scroll away from it.
import { one, onContent } from "./page.js";

const NEAR_PX = 40;
let isFollowing = true;

onContent(() => {
  const log = one("[data-logs]");
  if (!log) return;
  const follow = one("[data-follow] input");
  if (!follow) return;
  follow.checked = isFollowing;
  if (isFollowing) log.scrollTop = log.scrollHeight;
  if (log.dataset.ready) return;
  log.dataset.ready = "yes";
  log.addEventListener("scroll", () => {
    isFollowing = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_PX;
    const box = one("[data-follow] input");
    if (box) box.checked = isFollowing;
  });
  follow.closest("[data-follow]").addEventListener("change", (event) => {
    isFollowing = event.target.checked;
    if (isFollowing) log.scrollTop = log.scrollHeight;
  });
});
