"""The classifier on frozen features by which labels and parts are judged."""


def create_probe(**options):
    """An untrained logistic regression on standardised features, strongly regularised: there may be more features than
    pictures. ``options`` are further ones of scikit-learn's ``LogisticRegression``."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=0.001, max_iter=500, **options))
