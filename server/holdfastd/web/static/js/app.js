// What every page does with JavaScript; each part looks after itself. Pages read without any.
import "./theme.js";
import "./times.js";
import "./live.js";
import "./dialogs.js";
import "./copy.js";
import "./charts.js";
import "./keys.js";
