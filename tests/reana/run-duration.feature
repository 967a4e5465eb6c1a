Feature: Run duration

    As a physicist,
    I want my analysis to end in a reasonable time,
    so that I notice when the cluster has a problem.

    Scenario: The default analysis ends within an hour
        When the workflow execution completes
        Then the workflow run duration should be less than 60 minutes
