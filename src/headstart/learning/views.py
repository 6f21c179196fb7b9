"""Random views of images: crop, flip, color jitter, grayscale, blur (Chen et al. 2020, appendix A).

All random numbers of a batch are drawn first, one a sample, then every step is one pass over the
batch. A crop that is resized, and flipped, is a weighted sum of an image's rows, then of its
columns,

    y_i = sum_j R_ij x_j

with a sample's own triangle filter R, zero outside its crop. The sum is taken over the few pixels j
that have a weight, as the embedding of a bag of words is. Each step does what torchvision's
function of that name does (`resized_crop` with antialiasing, `adjust_brightness`, ...), in the
order above, on values in [0, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import partial

import torch
from torch.nn import functional as F

from headstart.learning.pretext.parameters import ViewParameters

_ATTEMPTS = 10  # to draw a crop that fits, as torchvision's RandomResizedCrop
_LUMA = (0.2989, 0.587, 0.114)  # ITU-R 601-2, as torchvision rounds it
_CHUNK = 2**18  # values that the processor's cache holds beside what is computed of them


@dataclass(frozen=True)
class Views:
    """What was drawn for n views; each tensor has the shape (n,).

    Attributes:
        top: first row of the crop, integer.
        left: first column of the crop, integer.
        height: rows of the crop, integer, at least 1.
        width: columns of the crop, integer, at least 1.
        horizontal_flip: whether left and right change places.
        vertical_flip: whether top and bottom change places.
        jitter: whether the four changes of color below are made.
        brightness: factor; 1 leaves the image as it is.
        contrast: factor.
        saturation: factor.
        hue: shift, as a share of the color circle.
        grayscale: whether colors are taken away.
        blur: whether the view is blurred.
        blur_sigma: standard deviation of the Gaussian, in pixels of the view.
    """

    top: torch.Tensor
    left: torch.Tensor
    height: torch.Tensor
    width: torch.Tensor
    horizontal_flip: torch.Tensor
    vertical_flip: torch.Tensor
    jitter: torch.Tensor
    brightness: torch.Tensor
    contrast: torch.Tensor
    saturation: torch.Tensor
    hue: torch.Tensor
    grayscale: torch.Tensor
    blur: torch.Tensor
    blur_sigma: torch.Tensor

    def __len__(self) -> int:
        return len(self.top)

    def __getitem__(self, rows: slice | torch.Tensor) -> Views:
        """Some of the views."""
        return Views(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def random_views(
    images: torch.Tensor, parameters: ViewParameters, generator: torch.Generator, size: int
) -> torch.Tensor:
    """One random view of each image.

    Args:
        images: uint8, shape (n, H, W, C) with C = 1 or 3, on the generator's device.
        parameters: of the views' distribution.
        generator: of all random numbers.
        size: pixels a side of the views.

    Returns:
        float32 in [0, 1], shape (n, C, size, size), channels last in memory.
    """
    n, height, width, _ = images.shape
    return apply_views(images, draw_views(n, height, width, parameters, generator), size)


def draw_views(
    n: int, height: int, width: int, parameters: ViewParameters, generator: torch.Generator
) -> Views:
    """Draw n views of images of one size, on the generator's device.

    A crop's share of the area is uniform, the logarithm of its ratio of width to height, too. Ten
    are drawn and the first that fits into the image is taken; where none does, the largest central
    one of a permitted ratio (torchvision's rule).

    Args:
        n: number of views.
        height: rows of the images.
        width: columns of the images.
        parameters: of the distribution.
        generator: of all random numbers.
    """
    uniform = partial(_uniform, generator=generator)

    def chosen(probability: float) -> torch.Tensor:
        return uniform((n,), 0, 1) < probability

    top, left, crop_height, crop_width = _crops(n, height, width, parameters, generator)
    return Views(
        top=top,
        left=left,
        height=crop_height,
        width=crop_width,
        horizontal_flip=chosen(parameters.horizontal_flip),
        vertical_flip=chosen(parameters.vertical_flip),
        jitter=chosen(parameters.jitter),
        brightness=uniform((n,), 1 - parameters.brightness, 1 + parameters.brightness),
        contrast=uniform((n,), 1 - parameters.contrast, 1 + parameters.contrast),
        saturation=uniform((n,), 1 - parameters.saturation, 1 + parameters.saturation),
        hue=uniform((n,), -parameters.hue, parameters.hue),
        grayscale=chosen(parameters.grayscale),
        blur=chosen(parameters.blur),
        blur_sigma=uniform((n,), *parameters.blur_sigma),
    )


def apply_views(images: torch.Tensor, views: Views, size: int) -> torch.Tensor:
    """The views of images.

    Args:
        images: uint8, shape (n, H, W, C) with C = 1 or 3.
        views: one for each image, on the same device.
        size: pixels a side of the views.

    Returns:
        float32 in [0, 1], shape (n, C, size, size), channels last in memory. A step leaves the
        samples that it is not drawn for exactly as they are.
    """
    n, _, _, channels = images.shape
    out = torch.empty(
        (n, channels, size, size), device=images.device, memory_format=torch.channels_last
    )
    # Many passes over few values: on a CPU it pays to make all of them on what the cache holds.
    chunks = max(-(-out.numel() // _CHUNK), 1) if images.device.type == "cpu" else 1
    step = max(-(-n // chunks), 1)
    for start in range(0, n, step):
        rows = slice(start, start + step)
        _apply(images[rows], views[rows], out[rows])
    return out


@torch.inference_mode()  # a twentieth of the time: most operations are small
def _apply(images: torch.Tensor, views: Views, out: torch.Tensor) -> None:
    """Write the views of one chunk into `out`, shape (n, C, size, size)."""
    x = _crop(images, views, out.shape[-1])
    rows = views.jitter.nonzero()[:, 0]
    if len(rows):
        factors = torch.stack((views.brightness, views.contrast, views.saturation, views.hue))
        x.index_copy_(0, rows, _jitter(x.index_select(0, rows), *factors[:, rows]))
    rows = views.grayscale.nonzero()[:, 0]
    if len(rows) and x.shape[1] == 3:
        x.index_copy_(0, rows, _luma(x.index_select(0, rows)).expand(-1, 3, -1, -1))
    rows = views.blur.nonzero()[:, 0]
    if len(rows):
        x.index_copy_(0, rows, _blur(x.index_select(0, rows), views.blur_sigma[rows]))
    out.copy_(x.clamp_(0, 1).mT)  # sums of weights are 1 up to rounding


def _crop(images: torch.Tensor, views: Views, size: int) -> torch.Tensor:
    """Cut out, resize and flip images, uint8 (n, H, W, C).

    Returns:
        Values in [0, 1], shape (n, C, size, size), transposed: the columns come before the rows.
        No step after this one tells them apart, and to put them right is left to the last copy.
    """
    n, height, width, channels = images.shape
    # Rows and columns at once: an operation's fixed cost counts on small images.
    pixel, weight = _filters(
        torch.cat((views.top, views.left)),
        torch.cat((views.height, views.width)),
        torch.cat((views.vertical_flip, views.horizontal_flip)),
        max(height, width),
        size,
    )
    x = images.reshape(n, height, width * channels).float()
    x = _weighted_sum(x, pixel[:n], weight[:n] / 255)
    x = x.view(n, size, width, channels).permute(0, 3, 2, 1).reshape(n * channels, width, size)
    pixel, weight = (of[n:].repeat_interleave(channels, dim=0) for of in (pixel, weight))
    return _weighted_sum(x, pixel, weight).view(n, channels, size, size)


def _filters(
    start: torch.Tensor, length: torch.Tensor, flip: torch.Tensor, source: int, size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Which pixels make up those of a part that is resized, and with which weights.

    Weight of pixel j in output i, with l the part's length: max(0, 1 - |j - c_i| / s), where
    c_i = start + (i + 1/2) l / size - 1/2 and s = max(1, l / size), within the part, divided by
    the sum over j.

    Args:
        start: the part's first pixel, shape (n,).
        length: of the part, likewise.
        flip: whether the last output is the part's first pixel, likewise.
        source: pixels that there are; no part is longer.
        size: pixels wanted.

    Returns:
        Pixels, integers, and their weights, both of shape (n, size, k) with the same k for all:
        where fewer pixels have a weight, the others' is 0.
    """
    start, end, flip = start[:, None], (start + length)[:, None], flip[:, None]
    scale = length[:, None] / size
    reach = scale.clamp(min=1)
    i = torch.arange(size, device=start.device)
    center = start + scale * (torch.where(flip, size - 1 - i, i) + 0.5) - 0.5
    most = math.ceil(2 * max(source / size, 1))
    # Along the first dimension, which is short: loops are quick along the last.
    taps = torch.arange(most, device=start.device)[:, None, None]
    j = (center - reach).floor() + (1 + taps)
    weight = (1 - (j - center).abs_().div_(reach)).clamp_(min=0)
    weight = weight.masked_fill_((j < start) | (j >= end), 0)
    weight = weight / weight.sum(dim=0)
    pixel = torch.minimum(torch.maximum(j.long(), start), end - 1)
    return pixel.permute(1, 2, 0), weight.permute(1, 2, 0)


def _weighted_sum(x: torch.Tensor, pixel: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Sums of x, shape (n, source, values), over some of its pixels: (n, size, values)."""
    n, source, values = x.shape
    row = pixel + source * torch.arange(n, device=x.device)[:, None, None]
    summed = F.embedding_bag(
        row.flatten(0, 1), x.flatten(0, 1), mode="sum", per_sample_weights=weight.flatten(0, 1)
    )
    return summed.view(n, -1, values)


def _jitter(
    x: torch.Tensor,
    brightness: torch.Tensor,
    contrast: torch.Tensor,
    saturation: torch.Tensor,
    hue: torch.Tensor,
) -> torch.Tensor:
    """Change the colors of (n, C, H, W), which is written over, by factors of shape (n,)."""
    brightness, contrast, saturation, hue = (
        factor[:, None, None, None] for factor in (brightness, contrast, saturation, hue)
    )
    x.mul_(brightness).clamp_(0, 1)
    mean = x.mean(dim=(2, 3), keepdim=True)
    mean = _luma(mean) if x.shape[1] == 3 else mean
    x.mul_(contrast).add_((1 - contrast) * mean).clamp_(0, 1)
    if x.shape[1] == 1:
        return x
    gray = _luma(x).mul_(1 - saturation)  # before the colors change
    x.mul_(saturation).add_(gray).clamp_(0, 1)
    return _shift_hue(x, hue)


def _shift_hue(x: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Turn colors (n, 3, H, W) on the color circle; their value V and chroma C are kept.

    V and m are the largest and the smallest of a color's red, green and blue, C = V - m. Its hue is
    as far from red as |h| = (1 + (g + b - r - m) / C) / 6 of the circle, on the side that the sign
    of g - b says. A channel whose own hue is a share d of the circle away from h has the value
    V - C min(max(6 d - 1, 0), 1).
    """
    red, green, blue = x.split(1, dim=1)
    value = torch.maximum(torch.maximum(red, green), blue)
    least = torch.minimum(torch.minimum(red, green), blue)
    fall = least - value  # -C
    start = value - fall
    fall.mul_(6)  # so that a channel's value is start + fall d, with 1/6 <= d <= 1/3
    # Where there is no chroma any hue will do, as long as it is finite.
    hue = (green + blue).sub_(red).sub_(least).div_(fall.clamp(max=-1e-30)).sub_(1 / 6)
    hue.copysign_(green - blue)
    own = x.new_tensor([0, 1 / 3, 2 / 3]).view(1, 3, 1, 1)
    distance = hue + (shift - own)
    distance.sub_(distance.round()).abs_().clamp_(1 / 6, 1 / 3)
    return distance.mul_(fall).add_(start)


def _luma(x: torch.Tensor) -> torch.Tensor:
    """Gray values (n, 1, H, W) of colors (n, 3, H, W)."""
    red, green, blue = x.split(1, dim=1)
    return (red * _LUMA[0]).add_(green, alpha=_LUMA[1]).add_(blue, alpha=_LUMA[2])


def _blur(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Blur (n, C, size, size), each by its own Gaussian, mirrored at the edges.

    The Gaussian is cut off at a twentieth of the side (Chen et al. 2020), at least at one pixel.
    """
    size = x.shape[-1]
    reach = max(size // 20, 1)
    offset = torch.arange(-reach, reach + 1, device=x.device)
    kernel = (-(offset**2) / (2 * sigma[:, None] ** 2)).softmax(dim=1)[:, :, None, None, None]
    for dim, padding in ((2, (0, 0, reach, reach)), (3, (reach, reach, 0, 0))):
        padded = F.pad(x, padding, mode="reflect")
        x = x * kernel[:, reach]
        for k in range(1, reach + 1):
            for i in (reach - k, reach + k):
                x.addcmul_(padded.narrow(dim, i, size), kernel[:, i])
    return x


def _crops(
    n: int, height: int, width: int, parameters: ViewParameters, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Top, left, height and width of n crops, integers of shape (n,)."""
    most = parameters.largest_ratio
    draws = (n, _ATTEMPTS)
    area = _uniform(draws, parameters.smallest_crop, 1, generator) * height * width
    ratio = _uniform(draws, -math.log(most), math.log(most), generator).exp()
    widths = (area * ratio).sqrt().round().long()
    heights = (area / ratio).sqrt().round().long()
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    first = fits.long().argmax(dim=1, keepdim=True)
    found = fits.any(dim=1)
    central_width = min(width, max(round(height * most), 1))
    central_height = min(height, max(round(width * most), 1))
    crop_width = torch.where(found, widths.gather(1, first)[:, 0], central_width)
    crop_height = torch.where(found, heights.gather(1, first)[:, 0], central_height)

    def place(room: torch.Tensor) -> torch.Tensor:
        drawn = (_uniform((n,), 0, 1, generator) * (room + 1)).long()
        return torch.where(found, torch.minimum(drawn, room), room // 2)

    return place(height - crop_height), place(width - crop_width), crop_height, crop_width


def _uniform(
    shape: tuple[int, ...], low: float, high: float, generator: torch.Generator
) -> torch.Tensor:
    draw = torch.rand(shape, generator=generator, device=generator.device)
    return low + (high - low) * draw
