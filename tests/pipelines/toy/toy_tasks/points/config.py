from ikelos.pipelines.recipe.sections import AdversarialTraining, PlainTraining, TaskConfig


class Config(TaskConfig):
    judge: PlainTraining
    maker: AdversarialTraining
