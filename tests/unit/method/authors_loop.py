"""A port of the loop of the authors' program, written here in plain torch: the other side of `released`.

It has the program's structure: one photograph; the mask's weights are a parameter of torch's own Adam with torch's own
StepLR; the classifier runs whole, once for the photograph, the kept and the removed part each; weights are clamped
after every step. Where all weights reach zero the program divides 0 by 0, and the port ends at the last mask before
that, as the engine does. Slow.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def authors_loop(
    net: nn.Module, layer: nn.Module, image: Tensor, blurred: Tensor
) -> tuple[Tensor, float, int]:
    """The last mask (H, W) of one image (1, C, H, W), the probability of the kept part, and the steps behind it."""
    seen: list[Tensor] = []
    handle = layer.register_forward_hook(lambda module, inputs, output: seen.append(output))

    def whole(x: Tensor) -> tuple[Tensor, Tensor]:
        seen.clear()
        probabilities = F.softmax(net(x), dim=1)
        return seen[-1], probabilities

    with torch.no_grad():
        features, probabilities = whole(image)
    label = int(probabilities[0].argmax())
    size = float(features.pow(2).sum())
    weights = nn.Parameter(torch.full((1, features.shape[1], 1, 1), 0.1, dtype=image.dtype))
    optimizer = torch.optim.Adam([weights], lr=0.01)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=10, gamma=0.5)

    def mask() -> Tensor:
        m = (weights * features).sum(1, keepdim=True)
        m = F.interpolate(m, image.shape[2:], mode="bilinear", align_corners=True)
        high = m.max()
        return (m - m.min()) / high

    last, steps = mask().detach(), 0
    for step in range(80):
        m = mask()
        if m.isnan().any():
            break
        last, steps = m.detach(), step
        kept = image * m + blurred * (1 - m)
        if step < 11:
            inverted, _ = whole(kept)
            loss = (inverted - features).pow(2).sum() / size + 5 * weights.pow(2).sum()
        else:
            _, foreground = whole(kept)
            _, background = whole(image * (1 - m) + blurred * m)
            loss = -foreground[0, label] + background[0, label] + 2 * weights.pow(2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        weights.data.clamp_(min=0)
    with torch.no_grad():
        m = mask()
        if not m.isnan().any():
            last, steps = m, 80
        _, foreground = whole(image * last + blurred * (1 - last))
    handle.remove()
    return last[0, 0], float(foreground[0, label]), steps
