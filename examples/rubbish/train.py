"""Trains the rubbish-sorting network and writes rubbish.tflite and pictures.

The pictures are rendered here: emoji of Debian's fonts-noto-color-emoji (SIL Open Font License)
over varied backgrounds, scaled, turned, shifted, lit and blurred.

    apt-get install fonts-noto-color-emoji
    pip install tensorflow pillow
    python3 train.py

1,000 pictures are held back; `held_back.bin` keeps them as records of one label byte and 96x96 RGB
pixels, for the test that measures the compiled models, and `held_back.jpg` the first 25 of each class,
one class a row. With `--held-back` only these two are written, and TensorFlow is not needed.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

HERE = Path(__file__).parent
FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
SIZE = 96
CLASSES = {
    "kitchen": "🍎🍌🍇🍉🍋🍐🍑🍒🍓🍅🍆🥑🥦🥕🌽🥔🍞🥚🍖🍗🍤🍕🥬🧅",
    "recyclable": "📦📰🍾🥫🍷📚👕👖🧸📱💻🧃🥛🔑📎🎒👟🥤",
    "hazardous": "🔋💊💡💉🧪🧨🧯🌡🛢🎨🧴🖨",
    "other": "🚬🧻🧹🧽🪥🩹🧦🪒☂🎈🏺🧵",
}


def glyphs():
    """One RGBA picture per emoji, by class."""
    font = ImageFont.truetype(FONT, 109)
    found = []
    for characters in CLASSES.values():
        pictures = []
        for character in characters:
            picture = Image.new("RGBA", (136, 128))
            ImageDraw.Draw(picture).text((0, 0), character, font=font, embedded_color=True)
            box = picture.getbbox()
            if box is None:
                raise SystemExit(f"{FONT} has no glyph for {character}")
            pictures.append(picture.crop(box))
        found.append(pictures)
    return found


def background(random):
    """A plain, graded or speckled ground, as tables, floors and walls are."""
    a, b = random.integers(0, 256, (2, 3))
    kind = random.integers(3)
    ramp = np.linspace(0, 1, SIZE)[:, None, None] if kind else np.zeros((1, 1, 1))
    if random.random() < 0.5:
        ramp = ramp.transpose(1, 0, 2)
    ground = np.broadcast_to(a + (b - a) * ramp, (SIZE, SIZE, 3))
    if kind == 2:
        coarse = random.normal(0, 30, (12, 12, 3))
        ground = ground + np.kron(coarse, np.ones((8, 8, 1)))
    return Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(random.uniform(0, 3))
    )


def render(random, glyph):
    """One picture of SIZE x SIZE with the glyph somewhere in it."""
    side = int(random.uniform(0.5, 0.95) * SIZE)
    scale = side / max(glyph.size)
    thing = glyph.resize([max(1, round(s * scale)) for s in glyph.size], Image.LANCZOS)
    thing = thing.rotate(random.uniform(-40, 40), Image.BICUBIC, expand=True)
    if random.random() < 0.5:
        thing = thing.transpose(Image.FLIP_LEFT_RIGHT)
    picture = background(random)
    room = [SIZE - s for s in thing.size]
    at = [int(random.integers(min(0, r), max(0, r) + 1)) for r in room]
    picture.paste(thing, at, thing)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = enhance(picture).enhance(random.uniform(0.7, 1.3))
    picture = picture.filter(ImageFilter.GaussianBlur(random.uniform(0, 0.8)))
    noise = random.normal(0, random.uniform(0, 8), (SIZE, SIZE, 3))
    return np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8)


def renderings(count, seed):
    """`count` pictures with the classes in equal number."""
    random = np.random.default_rng(seed)
    kinds = glyphs()
    labels = np.arange(count) % len(kinds)
    pictures = [render(random, kinds[k][random.integers(len(kinds[k]))]) for k in labels]
    return np.stack(pictures), labels.astype(np.uint8)


def write_held_back(pixels, labels):
    records = np.concatenate([labels[:, None], pixels.reshape(len(pixels), -1)], axis=1)
    (HERE / "held_back.bin").write_bytes(records.tobytes())
    rows = [np.concatenate(pixels[labels == k][:25], axis=1) for k in range(len(CLASSES))]
    Image.fromarray(np.concatenate(rows)).save(HERE / "held_back.jpg", quality=88)


def block(tf, x, channels, expand, stride):
    """An inverted residual block, padded as tf.keras.applications.MobileNetV2 does."""
    layers = tf.keras.layers
    start = x
    if expand > 1:
        x = layers.Conv2D(expand * x.shape[-1], 1, use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU(6.0)(x)
    if stride == 2:
        x = layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
    x = layers.DepthwiseConv2D(
        3, stride, use_bias=False, padding="same" if stride == 1 else "valid"
    )(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU(6.0)(x)
    x = layers.Conv2D(channels, 1, use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    return layers.Add()([start, x]) if stride == 1 and start.shape[-1] == channels else x


def network(tf):
    """A small MobileNetV2; input -1..1."""
    layers = tf.keras.layers
    x = inputs = layers.Input((SIZE, SIZE, 3))
    x = layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
    x = layers.Conv2D(16, 3, 2, use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU(6.0)(x)
    for channels, expand, stride in (
        (8, 1, 1), (16, 4, 2), (16, 4, 1), (24, 4, 2), (24, 4, 1),
        (32, 4, 2), (32, 4, 1), (48, 4, 1), (48, 4, 1), (64, 4, 2), (64, 4, 1),
    ):  # fmt: skip
        x = block(tf, x, channels, expand, stride)
    x = layers.Conv2D(160, 1, use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU(6.0)(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.2)(x)
    return tf.keras.Model(inputs, layers.Dense(len(CLASSES), activation="softmax")(x))


def main(*options):
    x_test, y_test = renderings(1000, 2)
    write_held_back(x_test, y_test)
    if "--held-back" in options:
        return
    import tensorflow as tf

    train, epochs = (int(option) for option in options or (9000, 20))
    tf.keras.utils.set_random_seed(7)
    x, y = renderings(train, 1)
    data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=7).batch(48)
    data = data.map(lambda x, y: (tf.cast(x, tf.float32) / 127.5 - 1, y)).prefetch(2)
    model = network(tf)
    rate = tf.keras.optimizers.schedules.CosineDecay(3e-3, epochs * len(data))
    model.compile(
        tf.keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    model.fit(data, epochs=epochs, verbose=2)
    test = x_test.astype(np.float32) / 127.5 - 1
    print("held-back accuracy", model.evaluate(test, y_test, verbose=0)[1])

    (HERE / "rubbish.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    names = list(CLASSES)
    (HERE / "labels.txt").write_text("\n".join(names) + "\n")
    (HERE / "calibration").mkdir(exist_ok=True)
    for i in range(40):
        name = f"{i:03}_{names[y[i]]}.jpg"
        Image.fromarray(x[i]).save(HERE / "calibration" / name, quality=88)


main(*sys.argv[1:])
