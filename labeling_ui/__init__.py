"""The labelling page (FastAPI + Gradio) stands here; it meets the rest of rewardkit through the store."""
