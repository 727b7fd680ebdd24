"""Pages for people: the demo, the look-up of credits, the manual. One frame, one stylesheet, no build step.

The folders hold what is sent as it is; `http.pages` sends it.
"""
