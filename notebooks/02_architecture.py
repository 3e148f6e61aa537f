# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # 2. Two networks
#
# SimpleCNN: two convolutions, each halved by pooling, then a dense layer. RegularizedCNN: the same, with
# BatchNormalization before each ReLU and dropout after the dense layer.

# %%
import common  # noqa: F401 - finds src
import keras
import numpy as np

from src.networks.scratch import SCRATCH_NETWORKS, build_scratch_model

simple = build_scratch_model("simple_cnn", 10, (32, 32))
simple.summary()

# %% [markdown]
# By hand, for 32 x 32 pixels and ten classes: a convolution has (3 x 3 x channels in + 1) x channels out weights.

# %%
by_hand = {
    "conv1": (3 * 3 * 3 + 1) * 32,
    "conv2": (3 * 3 * 32 + 1) * 64,
    "dense": (8 * 8 * 64 + 1) * 128,
    "logits": (128 + 1) * 10,
}
counted = {name: simple.get_layer(name).count_params() for name in by_hand}
assert counted == by_hand and sum(by_hand.values()) == simple.count_params()
{name: f"{count:,} ({count / simple.count_params():.0%})" for name, count in counted.items()}

# %% [markdown]
# Nearly all of it is the dense layer, which has a weight for every place: it can learn pictures by heart.
# Networks that end in global average pooling have none of that.

# %%
for name in SCRATCH_NETWORKS:
    model = build_scratch_model(name, 10, (32, 32))
    print(f"{name:16} {model.count_params():>12,} weights in {len(model.layers)} layers")

# %% [markdown]
# Untrained, every class is about as likely as any other: the loss begins near log(10).

# %%
pictures = np.random.default_rng(0).uniform(0, 255, (64, 32, 32, 3)).astype(np.float32)
labels = np.eye(10)[np.arange(64) % 10]
loss = float(keras.losses.CategoricalCrossentropy()(labels, simple(pictures)))
print(f"loss {loss:.2f}, log(10) = {np.log(10):.2f}")
