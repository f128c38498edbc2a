"""People label here; this room meets the rest of rewardkit through the store.

The desk gives out items and takes in answers; before it stand the annotators' and the researchers' page
(FastAPI + Gradio), which trust nothing that a browser says.
"""
