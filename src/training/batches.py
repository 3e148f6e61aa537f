"""Batches for Keras' ``fit`` without tf.data's tuning of itself."""

import keras
import tensorflow as tf


def as_untuned_dataset(batches):
    """The batches of a ``PyDataset`` as a ``tf.data.Dataset`` that is not tuned while it runs; anything else as it is.

    Keras wraps a ``PyDataset`` of one worker itself, with autotuning. The thread that tunes sleeps for longer and
    longer, and the iterator of a pass is not removed before that thread has ended: after passes of 20 seconds and more,
    every second or third next pass began 10 to 40 seconds late (TensorFlow 2.21), in ``~RootDataset::Iterator``. There
    is nothing here to tune, since the iterators load a batch with threads of their own.

    Unlike with a ``PyDataset``, Keras does not call ``on_epoch_begin`` and ``on_epoch_end`` of the batches.
    """
    if not isinstance(batches, keras.utils.PyDataset):
        return batches
    first = batches[0]
    signature = tuple(tf.TensorSpec((None, *part.shape[1:]), part.dtype) for part in first)
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = tf.data.Dataset.from_generator(
        lambda: (batches[index] for index in range(len(batches))), output_signature=signature
    )
    return dataset.apply(tf.data.experimental.assert_cardinality(len(batches))).prefetch(1).with_options(options)
