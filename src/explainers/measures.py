"""The measures that methods are compared by: a table without code, which needs no TensorFlow."""

from src.ranking import Measure

# In the order of the table. What needs masks is left out where there are none. "z": no minus before zeros.
MEASURES: dict[str, Measure] = {
    "pointing_game": Measure("pointing game", True, "{:z.2f}"),
    "energy_in_mask": Measure("energy in mask", True, "{:z.2f}"),
    "insertion_auc": Measure("insertion AUC", True, "{:z.2f}"),
    "deletion_auc": Measure("deletion AUC", False, "{:z.2f}"),
    "average_drop": Measure("average drop", False, "{:z.2f}"),
    "average_increase": Measure("average increase", True, "{:z.2f}"),
    "road": Measure("ROAD", True, "{:z.3f}"),
    "mu_fidelity": Measure("mu-fidelity", True, "{:z.2f}"),
    "sensitivity": Measure("change under noise", False, "{:z.2f}"),
    "randomisation": Measure("likeness, layers randomised", False, "{:z.2f}"),
    "seconds_per_image": Measure("seconds a picture", None, "{:.3g}"),
}
NEED_MASKS = ("pointing_game", "energy_in_mask")
SHARES = ("pointing_game", "average_increase")  # hits and misses: Wilson's interval
# What removes pixels by a map's order or values: here it matters how coarse a map is.
REMOVING = ("insertion_auc", "deletion_auc", "average_drop", "average_increase", "road", "mu_fidelity")
# A blob moves under no noise, and stays whatever the layers are: here the controls are no rivals.
NOT_JUDGED = ("sensitivity", "randomisation", "seconds_per_image")
