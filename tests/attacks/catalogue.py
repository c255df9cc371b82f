"""All attacks, by name."""

from tests.attacks import attack, files, in_kernel, notebooks, pages, resources

MODULES = (in_kernel, files, resources, notebooks, pages)
ATTACKS = attack.ALL
