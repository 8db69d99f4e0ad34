"""The dashboard: pages as HTML, made from what `Board` shows. They read without JavaScript."""
