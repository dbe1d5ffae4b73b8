"""Chapter 14: autoencoders."""

from __future__ import annotations

from gradus.catalog.entry import Entry

__all__ = ["ENTRIES"]

ENTRIES: tuple[Entry, ...] = (
    Entry("Autoencoder", "14.1", "estimator", "gradus.research.autoencoders:Autoencoder",
          "undercomplete, dense or convolutional: rows through a small code and back", "gradus config Autoencoder"),
    Entry("SparseAutoencoder", "14.2.1", "estimator", "gradus.research.autoencoders:SparseAutoencoder",
          "few units answer to a row: a target rate, absolute values, or the k largest",
          "gradus config SparseAutoencoder"),
    Entry("DenoisingAutoencoder", "14.5", "estimator", "gradus.research.autoencoders:DenoisingAutoencoder",
          "gives back clean rows for noisy ones, and the gradient of their log-density",
          "gradus config DenoisingAutoencoder"),
    Entry("ContractiveAutoencoder", "14.7", "estimator", "gradus.research.autoencoders:ContractiveAutoencoder",
          "a code of small Jacobian, exact or estimated; higher order by a setting",
          "gradus config ContractiveAutoencoder"),
    Entry("StochasticAutoencoder", "14.4", "estimator", "gradus.research.autoencoders:StochasticAutoencoder",
          "distributions at either end: Gaussian codes or bits, likelihoods of rows",
          "gradus config StochasticAutoencoder"),
    Entry("PredictiveSparseDecomposition", "14.8", "estimator",
          "gradus.research.autoencoders:PredictiveSparseDecomposition",
          "sparse coding with an encoder that learns to foresee the codes",
          "gradus config PredictiveSparseDecomposition"),
    Entry("SemanticHashing", "14.9", "estimator", "gradus.research.autoencoders:SemanticHashing",
          "bits as addresses, near to which like rows are found", "gradus config SemanticHashing"),
    Entry("Hamming search", "14.9", "function", "gradus.research.autoencoders:HammingIndex",
          "the nearest binary codes, or those within a few bits by a table of addresses",
          "from gradus.research.autoencoders import HammingIndex; HammingIndex([[0, 1], [1, 1]]).nearest([[0, 1]], 1)"),
    Entry("contractive penalty", "14.7", "regularizer", "gradus.research.autoencoders.penalties:contractive_penalty",
          "squared norm of a layer's Jacobian in closed form",
          "import torch; from gradus.research.autoencoders.penalties import contractive_penalty as c; "
          "c(torch.ones(1, 2), torch.zeros(3, 1), torch.nn.Sigmoid())"),
    Entry("Jacobian norm estimate", "14.7", "regularizer",
          "gradus.research.autoencoders.penalties:jacobian_norm_estimate",
          "unbiased squared norm of a deep encoder's Jacobian from random signs",
          "import torch; from gradus.research.autoencoders.penalties import jacobian_norm_estimate as j; "
          "j(torch.tanh, torch.zeros(3, 2), torch.Generator())"),
    Entry("k-sparse codes", "14.2.1", "layer", "gradus.research.autoencoders.networks:KLargest",
          "keeps the k largest units of each row",
          "import torch; from gradus.research.autoencoders.networks import KLargest; KLargest(2)(torch.eye(3))"),
    Entry("convolutional encoder", "14.3", "network", "gradus.research.autoencoders.networks:ConvolutionalEncoder",
          "pictures to codes; its mirror takes them back, with its own weights or tied ones",
          "from gradus.research.autoencoders.networks import ConvolutionalEncoder as C; C((28, 28, 1), (8,), 10)"),
    Entry("iterative shrinkage", "14.8", "function", "gradus.research.autoencoders.predictive:infer_codes",
          "sparse codes of rows given atoms and an encoder's guesses",
          "import torch; from gradus.research.autoencoders.predictive import infer_codes; "
          "infer_codes(torch.eye(2), torch.ones(1, 2), torch.zeros(1, 2), sparsity=0.1, prediction=0.0)"),
    Entry("denoising corruption", "14.5", "function", "gradus.research.autoencoders.corruption:Corruption",
          "Gaussian, masking or salt-and-pepper noise on rows",
          "import torch; from gradus.research.autoencoders.corruption import Corruption; "
          "Corruption('masking', 0.25)(torch.ones(2, 4), torch.Generator())"),
)  # fmt: skip
