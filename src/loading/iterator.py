"""Batches of pictures from a folder, each a function of (seed, epoch, index of the picture)."""

import contextlib
import hashlib
import os
import secrets
from concurrent.futures import ThreadPoolExecutor, wait

import cv2
import numpy as np
from tensorflow.keras.preprocessing.image import DirectoryIterator as KerasDirectoryIterator
from tensorflow.keras.preprocessing.image import Iterator, array_to_img, load_img

from src.imaging import INTERPOLATIONS, PICTURE_SUFFIXES, READING_VERSION, ImageError, load_image
from src.loading.buffers import BatchBuffers, keep_freed_memory
from src.loading.folder import digest_files, list_classes, list_pictures
from src.loading.memory import PictureMemory
from src.loading.sampling import SAMPLINGS, draw_order
from src.loading.stand_ins import StandIns
from src.loading.streams import NO_DRAWS, view_generator, view_states
from src.progress import say

# Pillow's further names, of kernels that OpenCV lacks: the nearest in kind stands for them.
_INTERPOLATION_NAMES = {name: name for name in INTERPOLATIONS} | {"box": "bilinear", "hamming": "bilinear"}


class DirectoryIterator(KerasDirectoryIterator):
    """Keras' iterator of the same name, and as it fit for ``model.fit``, ``predict``, ``next()`` and ``iterator[i]``.

    Differences:

    - The order of a pass is a function of (seed, epoch), a view one of (seed, epoch, index of the picture): neither the
      number of threads or workers nor an interruption changes a batch, and global NumPy is left alone.
    - ``epoch`` starts at 0 and goes up with ``on_epoch_end``, which Keras calls after each pass of ``fit``,
      ``evaluate`` or ``predict`` over this iterator, and when ``next`` has given the last batch. :meth:`set_epoch`
      resumes. (With ``steps_per_epoch`` below ``len(iterator)`` Keras ends epochs amid a pass, while batches are being
      fetched ahead: such batches may belong to either epoch.)
    - Give ``fit`` ``shuffle=False``: by default it also shuffles the order of the batches, by Python's global
      ``random``. The pictures are shuffled here all the same, and the batches hold the same pictures either way.
    - The pictures of a batch are loaded by ``threads`` threads; ``workers``, an attribute as of any ``PyDataset``, asks
      for more of them, and ``use_multiprocessing`` is without effect: with workers of its own Keras fetches batches
      before it has said that their epoch begins.
    - An unreadable picture raises :class:`~src.imaging.ImageError`; see :func:`surface_errors`. With ``unreadable``, a
      share of the pictures, so many are passed over: see :class:`~src.loading.stand_ins.StandIns`.
    - Up to ``memory_gb`` of the pictures are kept in memory, decoded and at the target size: later epochs need not read
      them again, and do not see it when a file changes meanwhile. Each of Keras' worker processes keeps its own.
    - ``sampling`` "balanced" draws from all classes alike (:func:`~src.loading.sampling.draw_order`); a picture that
      comes more than once in a pass has another view each time.
    - Hidden files are passed over, all of ``imaging.PICTURE_SUFFIXES`` are taken.

    Batches are (N, *image_shape) of the generator's dtype (float32), in 0..255 unless the generator rescales, with
    labels by ``class_mode``: "categorical" (N, classes), "binary" and "sparse" (N,), "input" the pictures, None none.
    """

    white_list_formats = PICTURE_SUFFIXES

    def __init__(
        self,
        directory,
        image_data_generator,
        target_size=(256, 256),
        color_mode="rgb",
        classes=None,
        class_mode="categorical",
        batch_size=32,
        shuffle=True,
        seed=None,
        data_format=None,
        save_to_dir=None,
        save_prefix="",
        save_format="png",
        follow_links=False,
        subset=None,
        interpolation="nearest",
        keep_aspect_ratio=False,
        dtype=None,
        threads=None,
        memory_gb=0.0,
        sampling="all",
        unreadable=0.0,
    ):
        # Not super().__init__: it lists files by other rules and prints on stdout, which is kept for results.
        if interpolation not in _INTERPOLATION_NAMES:
            known = ", ".join(_INTERPOLATION_NAMES)
            raise ValueError(f"interpolation must be one of {known}. Received: {interpolation}")
        if class_mode not in self.allowed_class_modes:
            known = ", ".join(map(str, sorted(self.allowed_class_modes, key=str)))
            raise ValueError(f"class_mode must be one of {known}. Received: {class_mode}")
        if sampling not in SAMPLINGS:
            raise ValueError(f"sampling must be one of {', '.join(SAMPLINGS)}. Received: {sampling}")
        if sampling != "all" and not shuffle:
            raise ValueError(f"sampling '{sampling}' draws at random: shuffle must be True. Received: {shuffle}")
        self.set_processing_attrs(
            image_data_generator,
            target_size,
            color_mode,
            data_format or image_data_generator.data_format,
            save_to_dir,
            save_prefix,
            save_format,
            subset,
            interpolation,
            keep_aspect_ratio,
        )
        self.directory, self.class_mode, self.sampling = directory, class_mode, sampling
        self.dtype = dtype or image_data_generator.dtype
        self.threads = threads or min(4, os.cpu_count() or 1)
        self._pool, self._pool_process = None, None  # see _helpers
        self._memory = PictureMemory(int(memory_gb * 1e9))
        self._buffers = BatchBuffers()
        self.error: Exception | None = None  # the latest failure, for surface_errors
        self.epoch = 0
        self._begun, self._epoch_before_end = False, None  # see on_epoch_begin
        self._file_digests = None  # read once, for whoever asks
        self._list_files(list(classes) if classes else list_classes(directory), follow_links)
        self.stand_ins = StandIns(self._filepaths, self.classes, unreadable)
        self._seed = secrets.randbits(63) if seed is None else seed
        Iterator.__init__(self, self.samples, batch_size, shuffle, seed)
        say(f"Found {self.samples} images belonging to {self.num_classes} classes.")

    def _list_files(self, class_names: list[str], follow_links: bool) -> None:
        """Fill ``filenames``, ``classes`` and what follows from them; ``subset`` is a part of each class."""
        self.num_classes = len(class_names)
        self.class_indices = {name: index for index, name in enumerate(class_names)}
        self.filenames, labels = [], []
        for name, index in self.class_indices.items():
            names = list_pictures(os.path.join(self.directory, name), follow_links)
            if self.split:
                start, stop = (int(fraction * len(names)) for fraction in self.split)
                names = names[start:stop]
            self.filenames += [os.path.join(name, picture) for picture in names]
            labels += [index] * len(names)
        self.samples = len(self.filenames)
        self.classes = np.array(labels, dtype="int32")
        self._filepaths = [os.path.join(self.directory, name) for name in self.filenames]

    # --- Which pictures: order, epochs, batches ---

    @property
    def workers(self) -> int:
        """For Keras, always 1; what is set is the least number of ``threads``."""
        return 1

    @workers.setter
    def workers(self, value: int) -> None:
        self.threads = max(self.threads, value)

    @property
    def use_multiprocessing(self) -> bool:
        """For Keras, always False."""
        return False

    @use_multiprocessing.setter
    def use_multiprocessing(self, value: bool) -> None:
        pass

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch (from 0), for instance to resume: ``fit`` begins with it and counts on."""
        with self.lock:
            self._begun, self._epoch_before_end = False, None
            self._begin_epoch(epoch)

    def on_epoch_begin(self) -> None:
        """Keras' notice that a pass begins.

        Before the first pass ``fit`` calls ``on_epoch_end`` once too often; that is taken back here, so that its
        first pass is the present epoch.
        """
        with self.lock:
            if self._epoch_before_end is not None:
                self._begin_epoch(self._epoch_before_end)
            self._begun, self._epoch_before_end = True, None

    def on_epoch_end(self) -> None:
        """Go on to the next epoch: another order, other views."""
        with self.lock:
            self._epoch_before_end = None if self._begun else self.epoch
            self._begun = False
            self._begin_epoch(self.epoch + 1)

    def reset(self) -> None:
        """Let ``next`` start again with batch 0 of the present epoch; ``fit`` and ``predict`` always start there."""
        self.batch_index = 0

    def _begin_epoch(self, epoch: int) -> None:
        self.epoch, self.batch_index = epoch, 0
        self._set_index_array()

    def _set_index_array(self) -> None:
        self.index_array = np.arange(self.n)
        if self.shuffle and self.n:
            self.index_array = draw_order(self.classes, self.sampling, self._seed, self.epoch)

    def _batch_indices(self, batch: int) -> np.ndarray:
        if self.index_array is None:
            self._set_index_array()
        return self.index_array[self.batch_size * batch : self.batch_size * (batch + 1)]

    def __getitem__(self, idx):
        """Batch ``idx`` of the present epoch."""
        if not 0 <= idx < len(self):
            raise ValueError(f"the iterator has {len(self)} batches. Received: {idx}")
        with self.lock:
            epoch, indices = self.epoch, self._batch_indices(idx)
            self.total_batches_seen += 1
        return self.load_batch(indices, epoch)

    def __next__(self):
        with self.lock:
            epoch, indices = self.epoch, next(self.index_generator)
        return self.load_batch(indices, epoch)

    def _flow_index(self):
        """Indices of batch after batch, epoch after epoch; the caller holds the lock."""
        while self.n:
            indices = self._batch_indices(self.batch_index)
            self.batch_index += 1
            self.total_batches_seen += 1
            if self.batch_index >= len(self):
                self._begin_epoch(self.epoch + 1)
            yield indices

    # --- What they hold: pictures and labels ---

    def _get_batches_of_transformed_samples(self, index_array):
        return self.load_batch(np.asarray(index_array), self.epoch)

    def load_batch(self, indices: np.ndarray, epoch: int):
        """The pictures ``indices`` as ``epoch`` shows them, with their labels; neither order nor epoch moves on.

        ``index + n * k`` is the picture ``index`` as it comes for the k-th time again in the same pass.
        """
        keep_freed_memory()  # TensorFlow may have just forbidden it; takes a microsecond
        images = self._buffers.empty((len(indices), *self.image_shape), self.dtype)
        places = iter(range(len(indices)))  # shared by the threads: each takes the next one
        states = view_states(self._seed, epoch, indices, self.n) if self.image_data_generator.draws else None

        def load_some() -> None:
            room = np.empty(self.image_shape, np.float32)  # memory fresh from the system costs as much as the warp
            draw = np.random.Generator(np.random.PCG64(0)) if states else NO_DRAWS
            for place in places:
                if states:
                    draw.bit_generator.state = states[place]
                self.load_view(indices[place], epoch, images[place], room, draw)

        try:
            others = [self._helpers().submit(load_some) for _ in range(self.threads - 1)]
            try:
                load_some()
            finally:
                wait(others)  # they write into the batch
            for other in others:
                other.result()
        except Exception as error:
            self.error = error
            raise
        if self.save_to_dir:
            self._save(images, indices, epoch)
        return images if self.class_mode is None else (images, self._labels(images, indices))

    @property
    def augmented(self) -> bool:
        """Whether a picture looks different from epoch to epoch."""
        generator = self.image_data_generator
        if generator.preprocessing_function or generator.random_erasing:  # cannot be told; may be rare
            return True
        return len({repr(self.get_parameters(0, epoch)) for epoch in range(64)}) > 1

    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of all that a view is a function of but its epoch and index.

        That is the files' bytes in their order, how they are read and resized, the transform's settings, and the seed
        where there is anything to draw.
        """
        generator = self.image_data_generator.describe()
        if generator.pop("preprocessing_function", None):  # what a function does cannot be told: never the same twice
            generator["preprocessing_function"] = secrets.token_hex()
        arrays = {key: value.tobytes() for key, value in generator.items() if isinstance(value, np.ndarray)}
        seed = self._seed if self.augmented else None
        reading = [list(self.image_shape), self.color_mode, self.interpolation, self.keep_aspect_ratio, seed]
        versions = READING_VERSION, cv2.__version__
        result = hashlib.sha256(repr((versions, reading, sorted((generator | arrays).items()))).encode())
        if self._file_digests is None:
            self._file_digests = digest_files(self._filepaths)
        for file_digest in self._file_digests:
            result.update(file_digest.encode())
        return result.hexdigest()

    def forget_pictures(self) -> None:
        """Let go of the decoded pictures in memory, and keep no more."""
        self._memory = PictureMemory(0)

    def _helpers(self) -> ThreadPoolExecutor:
        """The threads beside the calling one. They stay: with new ones for each batch the page faults double.

        A process that Keras forks has none of them, and makes its own.
        """
        if self._pool_process != os.getpid():
            self._pool, self._pool_process = ThreadPoolExecutor(max(1, self.threads - 1)), os.getpid()
        return self._pool

    def get_parameters(self, index: int, epoch: int, draw: np.random.Generator | None = None) -> dict:
        """The transform parameters of picture ``index`` in ``epoch``: a function of these two and the seed.

        ``index`` as for :meth:`load_batch`; ``draw`` is the generator of this view, where it is at hand.
        """
        if draw is None:
            draw = view_generator(self._seed, epoch, index, self.n)
        return self.image_data_generator.get_random_transform(self.image_shape, draw)

    def load_view(self, index: int, epoch: int, out=None, room=None, draw=None) -> np.ndarray:
        """Picture ``index`` as ``epoch`` shows it: transformed and standardized, (*image_shape).

        ``index`` as for :meth:`load_batch`, ``draw`` for :meth:`get_parameters`, ``room`` for :meth:`load_picture`;
        ``out``, a place in a batch, is written to where it is given, and returned.
        """
        out = np.empty(self.image_shape, self.dtype) if out is None else out
        generator, picture = self.image_data_generator, self.load_picture(index, room)
        in_place = out if out.dtype == np.float32 else None
        view = generator.standardize(
            generator.apply_transform(picture, self.get_parameters(index, epoch, draw), out=in_place)
        )
        if view is not out:
            out[...] = view
        return out

    def load_picture(self, index: int, room: np.ndarray | None = None) -> np.ndarray:
        """Picture ``index`` as it is, at the target size: float32 of ``image_shape``, 0..255. Raises ``ImageError``.

        ``room``, an array like the result, is overwritten and returned where it is given.
        """
        index = index % self.n
        picture = self._memory.recall(index)
        if picture is None:
            picture = self.stand_ins.read(index, self._read)
            self._memory.keep(index, picture)
        if self.data_format == "channels_first":
            picture = picture.transpose(2, 0, 1)
        room = np.empty(self.image_shape, np.float32) if room is None else room
        np.copyto(room, picture)
        return room

    def _read(self, path: str) -> np.ndarray:
        """The picture in a file as uint8 (height, width, channels) of the target size and the colour mode."""
        try:
            if self.color_mode == "rgba":
                options = {"interpolation": self.interpolation, "keep_aspect_ratio": self.keep_aspect_ratio}
                with load_img(path, "rgba", self.target_size, **options) as image:
                    return np.array(image)
            interpolation = _INTERPOLATION_NAMES[self.interpolation]
            image = load_image(path, self.target_size, interpolation, self.keep_aspect_ratio)
        except (ImageError, OSError) as error:
            reason = error.reason if isinstance(error, ImageError) else str(error)
            raise ImageError(path, f"{reason}; remove the file, or run split_dataset.py again") from error
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None] if self.color_mode == "grayscale" else image

    def _labels(self, images: np.ndarray, indices: np.ndarray) -> np.ndarray:
        if self.class_mode == "input":
            return images.copy()
        labels = self.classes[np.asarray(indices) % self.n]
        if self.class_mode == "categorical":
            return np.eye(self.num_classes, dtype=self.dtype)[labels]
        return labels.astype(self.dtype)

    def _save(self, images: np.ndarray, indices: np.ndarray, epoch: int) -> None:
        """Write the views as files ``prefix_index_epoch.format``, stretched to 0..255 as Keras does."""
        for image, index in zip(images, indices):
            name = f"{self.save_prefix}_{index}_{epoch}.{self.save_format}"
            array_to_img(image, self.data_format, scale=True).save(os.path.join(self.save_to_dir, name))


@contextlib.contextmanager
def surface_errors(*iterators: DirectoryIterator):
    """Let the iterators' own errors leave ``fit``, ``evaluate`` and ``predict`` as they were raised.

    From the second batch or so on, Keras draws through ``tf.data``, which turns any exception into its own, with a
    traceback for a message. Every iterator keeps its latest ``error``; this raises that instead::

        with surface_errors(train, val):
            model.fit(train, validation_data=val)
    """
    iterators = [iterator for iterator in iterators if isinstance(iterator, DirectoryIterator)]
    for iterator in iterators:
        iterator.error = None
    try:
        yield
    except Exception as error:
        original = next((iterator.error for iterator in iterators if iterator.error is not None), error)
        if original is error:
            raise
        raise original from error
