"""Training: records -> artifact."""


def __getattr__(name: str):
    if name == "train":  # torch is loaded when it is needed
        from netml.training.api import train

        return train
    raise AttributeError(f"module 'netml.training' has no attribute {name!r}")
