"""All attacks, by name."""

from tests.attacks import attack, files, in_kernel, notebooks, pages, resources, shortcuts

MODULES = (in_kernel, shortcuts, files, resources, notebooks, pages)
ATTACKS = attack.ALL
