"""People label here; this room meets the rest of rewardkit through the store.

The desk gives out items and takes in answers; the page (FastAPI + Gradio) will stand in front of it.
"""
